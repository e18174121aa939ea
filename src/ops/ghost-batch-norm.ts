import { type Ghosts, launchForward, partialsShape } from "../kernels/ghost-batch-norm.ts";
import { mergePays } from "../kernels/ghost-batch-norm-geometry.ts";
import { launchBackward, sumsShape } from "../kernels/ghost-batch-norm-gradients.ts";
import { ShapeError } from "../support/errors.ts";
import { dims, expectShape, leadingDims, shapeText } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { momentsOf } from "./conv2d.ts";
import { differentiable } from "./tape.ts";

export interface GhostBatchNormOptions {
  /** How the samples of x are cut into ghosts, and the row of `statistics` that the first of them has. */
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
 * with mean and biased variance of each channel over each ghost by itself. One ghost of the whole batch is plain
 * batch normalization.
 *
 * Directly after a convolution of x the statistics need no pass over x: the convolution leaves them (`momentsOf`).
 *
 * @param x     [N, C] or [N, C, H, W]
 * @param gamma [C]
 * @param beta  [C]
 * @returns y, of x's shape
 * @throws ShapeError when the shapes do not fit, the ghosts or channels run past the end of `statistics`, or a ghost has
 *   a single value per channel
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
  expectRoom(statistics, ghosts, { first: firstChannel, count: C });
  if (ghosts.total !== N)
    throw new ShapeError(`ghostBatchNorm: the ghosts hold ${ghosts.total} samples, x has ${N}`);
  const last = N - (ghosts.ghosts - 1) * ghosts.ghostSize;
  if (last < 1 || (Math.min(ghosts.ghosts > 1 ? ghosts.ghostSize : last, last) * x.size) / (N * C) < 2) {
    throw new ShapeError(
      `ghostBatchNorm: ${ghosts.ghosts} ghosts of ${ghosts.ghostSize} leave one of ${last} samples, too few for a variance`,
    );
  }

  const moments = momentsOf(x, (tiles) => mergePays(gpu, ghosts, tiles));
  const y = empty(gpu, x.shape, "f32", "ghost batch norm");
  const shared = moments ? null : partialsShape(x, ghosts);
  const partials = shared && empty(gpu, shared, "f32", "statistics partials");
  const place = { ghosts, firstChannel, eps, relu };
  launchForward({ x, gamma, beta, statistics, y, residual, partials, moments }, place);

  const backward = (dy: Tensor, destination: Parameters<Parameters<typeof differentiable>[3]>[1]) => {
    const dx = destination(x) ?? { tensor: empty(gpu, x.shape), accumulate: false };
    const own = () => ({ tensor: empty(gpu, [C]), accumulate: false });
    let [dgamma, dbeta] = [destination(gamma) ?? own(), destination(beta) ?? own()];
    // The kernels add to both or to neither: where one is used elsewhere too, the tape adds.
    if (dgamma.accumulate !== dbeta.accumulate) [dgamma, dbeta] = [own(), own()];
    const dresidual =
      residual && (destination(residual) ?? { tensor: empty(gpu, x.shape), accumulate: false });
    const sums = empty(gpu, sumsShape(x, ghosts), "f32", "gradient sums");
    const saved = residual && dresidual ? { residual: { y, dresidual: dresidual.tensor } } : {};
    const written = { dx: dx.tensor, dgamma: dgamma.tensor, dbeta: dbeta.tensor };
    launchBackward(
      { x, dy, statistics, gamma, beta, sums, ...saved, ...written },
      {
        ...place,
        accumulate: dx.accumulate,
        accumulateResidual: dresidual?.accumulate ?? false,
        accumulateParameters: dgamma.accumulate,
      },
    );
    return [dx.tensor, dgamma.tensor, dbeta.tensor, dresidual?.tensor ?? null] as const;
  };
  if (residual) differentiable("ghostBatchNorm", [x, gamma, beta, residual], y, backward);
  else {
    differentiable("ghostBatchNorm", [x, gamma, beta], y, (dy, destination) => {
      const [dx, dgamma, dbeta] = backward(dy, destination);
      return [dx, dgamma, dbeta];
    });
  }
  return y;
}

/** Past the end of a buffer WebGPU reads and writes something harmless: there would be no error, only wrong numbers. */
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
      `ghostBatchNorm: statistics ${shapeText(statistics.shape)} hold ${rows} ghosts, the batch's ghosts ${firstGhost} to ` +
        `${last - 1} need ${last}: materialize the model with maximumGhosts of at least ${last}`,
    );
  }
  if (channels.first + channels.count > columns) {
    throw new ShapeError(
      `ghostBatchNorm: statistics ${shapeText(statistics.shape)} hold ${columns} channels, the layer has ${channels.count} ` +
        `from ${channels.first} on: give statistics of at least ${channels.first + channels.count} channels`,
    );
  }
}
