import { type Ghosts, launchForward, type NormOptions, partialsShape } from "../kernels/ghost-batch-norm.ts";
import { launchBackwardPasses, rowsOfSums, type SumRows } from "../kernels/ghost-batch-norm-backward.ts";
import { foldPays, mergePays } from "../kernels/ghost-batch-norm-geometry.ts";
import { launchGradInput, sumsShape } from "../kernels/ghost-batch-norm-gradients.ts";
import { ShapeError } from "../support/errors.ts";
import { dims, expectNumber, expectShape, expectWhole, leadingDims, shapeText } from "../tensor/shape.ts";
import { empty, expectType, type Tensor } from "../tensor/tensor.ts";
import { type InputGradient, momentsOf, takeInputGradient } from "./conv2d.ts";
import type { DeferredSums } from "./deferred-sums.ts";
import type { DestinationOf } from "./destination.ts";
import { differentiable } from "./tape.ts";

export interface GhostBatchNormOptions {
  /** How the samples of x are cut into ghosts, and the first ghost's row in `statistics`. */
  readonly ghosts: Ghosts & { readonly firstGhost: number };
  /** [rows, channels of all layers, 2], written: mean and biased variance of each ghost. */
  readonly statistics: Tensor;
  /** This layer's first column of `statistics`. */
  readonly firstChannel: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Applies a ReLU last, in the same kernel. */
  readonly relu?: boolean;
  /** Of x's shape; added before the ReLU, in the same kernel. */
  readonly residual?: Tensor | undefined;
}

/**
 * Ghost batch normalization, training mode (Hoffer et al. 2017, Algorithm 1):
 *
 *   y = gamma · x̂ + beta (+ residual),   x̂ = (x − mean) / √(variance + eps)
 *
 * with mean and biased variance of each channel over each ghost separately. One ghost of the whole batch is plain
 * batch normalization.
 *
 * Directly after a convolution of x the statistics need no pass over x: the convolution leaves them (`momentsOf`).
 *
 * @param x     [N, C] or [N, C, H, W]
 * @param gamma [C]
 * @param beta  [C]
 * @returns y, of x's shape
 * @throws ShapeError when shapes, types or numbers do not fit, the ghosts or channels run past the end of `statistics`, or a
 *   ghost has a single value per channel
 */
export function ghostBatchNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: GhostBatchNormOptions,
): Tensor {
  const { ghosts, statistics, firstChannel, eps, relu = false, residual } = options;
  const { gpu } = x;
  const [N, C] = leadingDims("ghostBatchNorm: x", x.shape, 2);
  expectShape("ghostBatchNorm: gamma", gamma.shape, [C]);
  expectShape("ghostBatchNorm: beta", beta.shape, [C]);
  if (residual) expectShape("ghostBatchNorm: residual", residual.shape, x.shape);
  expectType("ghostBatchNorm", "f32", { gamma, beta, statistics });
  expectWhole("ghostBatchNorm: ghosts.ghostSize", ghosts.ghostSize, 1);
  expectWhole("ghostBatchNorm: ghosts.ghosts", ghosts.ghosts, 1);
  expectWhole("ghostBatchNorm: ghosts.firstGhost", ghosts.firstGhost);
  expectWhole("ghostBatchNorm: firstChannel", firstChannel);
  expectNumber("ghostBatchNorm: eps", eps, 0);
  expectRoom(statistics, ghosts, { first: firstChannel, count: C });
  if (ghosts.total !== N)
    throw new ShapeError(`ghostBatchNorm: the ghosts have ${ghosts.total} samples, but x has ${N}`);
  const last = N - (ghosts.ghosts - 1) * ghosts.ghostSize;
  if (last < 1 || (Math.min(ghosts.ghosts > 1 ? ghosts.ghostSize : last, last) * x.size) / (N * C) < 2) {
    throw new ShapeError(
      `ghostBatchNorm: ${ghosts.ghosts} ghosts of ${ghosts.ghostSize} leave a ghost of ${last} samples, too few for a variance`,
    );
  }

  const moments = momentsOf(x, (tiles) => mergePays(gpu, ghosts, tiles));
  const y = empty(gpu, x.shape, x.dtype, "ghost batch norm");
  const shared = moments ? null : partialsShape(x, ghosts);
  const partials = shared && empty(gpu, shared, "f32", "statistics partials");
  const place = { ghosts, firstChannel, eps, relu };
  launchForward({ x, gamma, beta, statistics, y, residual, partials, moments }, place);

  const backward = backwardOf({ x, gamma, beta, y, residual, statistics }, place);
  if (residual) differentiable("ghostBatchNorm", [x, gamma, beta, residual], y, backward);
  else {
    differentiable("ghostBatchNorm", [x, gamma, beta], y, (...given) => {
      const [dx, dgamma, dbeta] = backward(...given);
      return [dx, dgamma, dbeta];
    });
  }
  return y;
}

type Backward = (
  dy: Tensor,
  destination: DestinationOf,
  sums: DeferredSums,
) => readonly [Tensor, Tensor | null, Tensor | null, Tensor | null];

function backwardOf(
  t: { x: Tensor; gamma: Tensor; beta: Tensor; y: Tensor; residual: Tensor | undefined; statistics: Tensor },
  place: NormOptions,
): Backward {
  const { x, gamma, beta, y, residual, statistics } = t;
  const { gpu, shape } = x;
  const own = () => ({ tensor: empty(gpu, shape, x.dtype), accumulate: false });
  const norm = { x, statistics, gamma, beta };
  return (dy, destination, sums) => {
    const scratch = (size: readonly number[]) => sums.scratch(x, size, "gradient sums");
    const convolution = convolutionOf(dy, place.ghosts);
    const dx = destination(x) ?? own();
    // A convolution that also computes the gradient of the ReLU turns dy into dresidual.
    const dresidual = residual && (destination(residual, { inPlace: convolution !== null }) ?? own());
    const { accumulate } = dx;
    let partials: Tensor;
    let rows: ReturnType<typeof rowsOfSums>;
    if (convolution && (!dresidual || dresidual.tensor === dy)) {
      partials = convolution.withNorm({ ...norm, ...(residual && { y }), place, scratch });
      const options = { ...place, relu: false, accumulate, ofSamples: true };
      launchGradInput({ ...norm, dy, sums: partials, dx: dx.tensor }, options);
      rows = rowsOfSums({ x, sums: partials }, "pairs");
    } else {
      convolution?.plain();
      partials = scratch(sumsShape(x, place.ghosts));
      const saved = dresidual && { residual: { y, dresidual: dresidual.tensor } };
      const passes = { ...norm, dy, sums: partials, dx: dx.tensor, ...saved };
      const accumulateResidual = dresidual?.accumulate ?? false;
      launchBackwardPasses(passes, { ...place, accumulate, accumulateResidual });
      rows = rowsOfSums(passes);
    }
    const parameter = (of: Tensor, sum: SumRows) => {
      const gradient = destination(of);
      if (gradient) sums.add({ ...sum, partials }, gradient);
      return gradient?.tensor ?? null;
    };
    const [dgamma, dbeta] = [parameter(gamma, rows.dgamma), parameter(beta, rows.dbeta)];
    if (rows.dx && !accumulate) sums.leaveColumns(dx.tensor, { ...rows.dx, partials });
    return [dx.tensor, dgamma, dbeta, dresidual?.tensor ?? null];
  };
}

/** The convolution that computes dy, if it can leave the norm's sums and each workgroup of the next pass can merge them. */
function convolutionOf(dy: Tensor, ghosts: Ghosts): InputGradient | null {
  const convolution = takeInputGradient(dy);
  if (!convolution || foldPays(dy.gpu, ghosts, convolution.tiles)) return convolution;
  convolution.plain();
  return null;
}

/** WebGPU does not report access past the end of a buffer; the results would be silently wrong. */
function expectRoom(
  statistics: Tensor,
  { firstGhost, ghosts }: GhostBatchNormOptions["ghosts"],
  channels: { readonly first: number; readonly count: number },
): void {
  const [rows, columns] = dims("ghostBatchNorm: statistics", statistics.shape, 3);
  expectShape("ghostBatchNorm: statistics", statistics.shape, [rows, columns, 2]);
  const last = firstGhost + ghosts;
  if (last > rows) {
    throw new ShapeError(
      `ghostBatchNorm: statistics ${shapeText(statistics.shape)} have room for ${rows} ghosts, but the batch's ghosts ${firstGhost} to ` +
        `${last - 1} need ${last}: materialize the model with maximumGhosts of at least ${last}`,
    );
  }
  if (channels.first + channels.count > columns) {
    throw new ShapeError(
      `ghostBatchNorm: statistics ${shapeText(statistics.shape)} have ${columns} channels, but the layer has ${channels.count} ` +
        `from ${channels.first} on: pass statistics of at least ${channels.first + channels.count} channels`,
    );
  }
}
