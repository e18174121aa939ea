import { type Ghosts, launchForward, partialsShape } from "../kernels/ghost-batch-norm.ts";
import { launchBackwardPasses, rowsOfSums, type SumRows } from "../kernels/ghost-batch-norm-backward.ts";
import { mergePays } from "../kernels/ghost-batch-norm-geometry.ts";
import { sumsShape } from "../kernels/ghost-batch-norm-gradients.ts";
import { ShapeError } from "../support/errors.ts";
import { dims, expectShape, leadingDims, shapeText } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { momentsOf } from "./conv2d.ts";
import type { DeferredSums } from "./deferred-sums.ts";
import type { DestinationOf } from "./destination.ts";
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

  const backward: Backward = (dy, destination, sums) => {
    const dx = destination(x) ?? { tensor: empty(gpu, x.shape, x.dtype), accumulate: false };
    const dresidual =
      residual && (destination(residual) ?? { tensor: empty(gpu, x.shape, x.dtype), accumulate: false });
    const t = {
      x,
      dy,
      statistics,
      gamma,
      beta,
      dx: dx.tensor,
      sums: sums.scratch(gpu, sumsShape(x, ghosts), "gradient sums"),
      ...(dresidual && { residual: { y, dresidual: dresidual.tensor } }),
    };
    const accumulated = { accumulate: dx.accumulate, accumulateResidual: dresidual?.accumulate ?? false };
    launchBackwardPasses(t, { ...place, ...accumulated });
    const rows = rowsOfSums(t);
    const parameter = (of: Tensor, sum: SumRows) => {
      const gradient = destination(of);
      if (gradient) sums.add({ ...sum, partials: t.sums }, gradient);
      return gradient?.tensor ?? null;
    };
    const [dgamma, dbeta] = [parameter(gamma, rows.dgamma), parameter(beta, rows.dbeta)];
    if (rows.dx && !dx.accumulate) sums.leaveColumns(dx.tensor, { ...rows.dx, partials: t.sums });
    return [dx.tensor, dgamma, dbeta, dresidual?.tensor ?? null];
  };
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
