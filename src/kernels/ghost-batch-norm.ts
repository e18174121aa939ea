/**
 * Ghost batch norm, forward: x [N, C, HW] (HW = 1 after a linear layer) is divided in order into ghosts, each normalized
 * with its own statistics (Hoffer et al. 2017, Algorithm 1). Every pass is one dispatch for all ghosts.
 *
 * `statistics` [rows, totalChannels, 2] holds (mean, biased variance) of every ghost of the batch and every layer of the
 * network: ghost g of a slab has row firstGhost + g, channel c of a layer column firstChannel + c. Gradients are in
 * ghost-batch-norm-gradients.ts, running statistics in ghost-batch-norm-running.ts.
 */
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { bytesOf, element } from "./element.ts";
import {
  denseTiles,
  elementwiseTiles,
  foldPays,
  isBlocked,
  isDense,
  largestGhost,
  type NormOptions,
  normSize,
  PLACE,
  placeParams,
} from "./ghost-batch-norm-geometry.ts";
import { launchMergedStatistics, launchStatistics, type Moments } from "./ghost-batch-norm-statistics.ts";

export type { Ghosts, NormOptions, NormPlace } from "./ghost-batch-norm-geometry.ts";
export { launchRunningStatistics, type RunningRule } from "./ghost-batch-norm-running.ts";
export {
  launchMergedStatistics,
  launchStatistics,
  type Moments,
  partialsShape,
} from "./ghost-batch-norm-statistics.ts";

/** The name of these passes in messages. */
const OP = "ghostBatchNorm";

const NORMALIZE = defineKernel({
  file: "ghost-batch-norm/normalize.wgsl",
  bindings: ["x", "mean", "variance", "gamma", "beta", "residual", "y"],
  overrides: ["C", "HW", "RELU", "RESIDUAL", "WG_SIZE", "ROW"],
  params: [...PLACE, "stride", "variance_offset", "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

const NORMALIZE_MERGED = defineKernel({
  file: "ghost-batch-norm/normalize-merged.wgsl",
  bindings: ["x", "moments", "gamma", "beta", "residual", "statistics", "y"],
  overrides: ["C", "HW", "RELU", "RESIDUAL", "TILES", "TILE_PIXELS", "WG_SIZE", "ROW"],
  params: [...PLACE, "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

const NORMALIZE_DENSE = defineKernel({
  file: "ghost-batch-norm/normalize-dense.wgsl",
  bindings: ["x", "mean", "variance", "gamma", "beta", "y"],
  overrides: ["C", "RELU", "ROWS"],
  params: [...PLACE, "stride", "variance_offset", "eps"],
  spec: ["Stored"],
});

const FORWARD_DENSE = defineKernel({
  file: "ghost-batch-norm/forward-dense.wgsl",
  bindings: ["x", "gamma", "beta", "statistics", "y"],
  overrides: ["C", "RELU", "COLUMNS", "ROWS", "BLOCKED"],
  params: [...PLACE, "eps"],
  spec: ["Stored"],
});

/**
 * y = gamma · (x − mean) / √(variance + eps) + beta (+ residual), then relu if asked for, with the sample's ghost's statistics.
 *
 * @param t.x           [N, C, …]
 * @param t.gamma       [C]
 * @param t.beta        [C]
 * @param t.residual    of x's shape, optional
 * @param t.statistics  [rows, totalChannels, 2]
 * @param t.y           of x's shape, written
 */
export function launchNormalize(
  t: {
    x: Tensor;
    gamma: Tensor;
    beta: Tensor;
    residual?: Tensor | undefined;
    statistics: Tensor;
    y: Tensor;
  },
  { relu, ...place }: NormOptions,
): void {
  const source = { ...placeParams(place, t.statistics), stride: 2, variance_offset: 1, eps: place.eps };
  normalize({ ...t, mean: t.statistics, variance: t.statistics }, source, relu);
}

/**
 * Evaluation: y = gamma · (x − runningMean) / √(runningVariance + eps) + beta (+ residual), then relu if asked for.
 * There are no ghosts: a sample's result does not depend on the others.
 *
 * @param t.x                [N, C, …]
 * @param t.runningMean      [totalChannels], read from `firstChannel` on
 * @param t.runningVariance  [totalChannels]
 * @param t.gamma            [C]
 * @param t.beta             [C]
 * @param t.residual         of x's shape, optional
 * @param t.y                of x's shape, written
 */
export function launchAffine(
  t: {
    x: Tensor;
    runningMean: Tensor;
    runningVariance: Tensor;
    gamma: Tensor;
    beta: Tensor;
    residual?: Tensor | undefined;
    y: Tensor;
  },
  { firstChannel, eps, relu }: { firstChannel: number; eps: number; relu: boolean },
): void {
  const N = t.x.shape[0]!;
  const whole = { ghost_size: N, ghosts: 1, total: N, first_ghost: 0, first_channel: firstChannel };
  const source = { ...whole, total_channels: t.runningMean.size, stride: 1, variance_offset: 0, eps };
  normalize({ ...t, mean: t.runningMean, variance: t.runningVariance }, source, relu);
}

/** Lanes of normalize-dense that share the samples of a ghost. */
const DENSE_ROWS: ByVariant<number> = { narrow: 1, wide: 8 };

type NormalizeParams = Record<(typeof PLACE)[number] | "stride" | "variance_offset" | "eps", number>;

function normalize(
  t: {
    x: Tensor;
    mean: Tensor;
    variance: Tensor;
    gamma: Tensor;
    beta: Tensor;
    residual?: Tensor | undefined;
    y: Tensor;
  },
  params: NormalizeParams,
  RELU: boolean,
): void {
  const { x, mean, variance, gamma, beta, residual, y } = t;
  const { C, HW } = normSize(x);
  const G = params.ghosts;
  const tensors = residual ? 3 : 2;
  const cost = { flops: (tensors + 1) * x.size, bytes: tensors * x.byteLength };
  const spec = element(OP, HW, { x, residual, y });
  const samples = largestGhost({ ...params, ghostSize: params.ghost_size });
  if (isDense(C, HW) && !residual) {
    const ROWS = DENSE_ROWS[x.gpu.baseVariant];
    x.gpu.run(NORMALIZE_DENSE, {
      buffers: { x, mean, variance, gamma, beta, y },
      overrides: { C, RELU, ROWS },
      params,
      spec: { Stored: element(OP, C, { x, y }).Stored },
      workgroups: [Math.ceil(C / 32), G, Math.max(1, Math.ceil(samples / 64))],
      cost,
    });
    return;
  }
  const { WG_SIZE, ROW, parts } = elementwiseTiles(x.gpu, C * G, (samples * HW) / spec.WIDTH, 8);
  x.gpu.run(NORMALIZE, {
    buffers: { x, mean, variance, gamma, beta, residual: residual ?? x, y },
    overrides: { C, HW, RELU, RESIDUAL: residual !== undefined, WG_SIZE, ROW },
    params,
    spec,
    workgroups: [C, G, parts],
    cost,
  });
}

/**
 * `launchMergedStatistics`, then `launchNormalize`, in one dispatch: each workgroup merges the moments of its channel and ghost.
 *
 * @param t.statistics [rows, totalChannels, 2], the rows and columns of this slab and layer are written
 */
export function launchNormalizeMerged(
  t: {
    x: Tensor;
    gamma: Tensor;
    beta: Tensor;
    residual?: Tensor | undefined;
    statistics: Tensor;
    moments: Moments;
    y: Tensor;
  },
  { relu: RELU, ...place }: NormOptions,
): void {
  const { x, gamma, beta, residual, statistics, y } = t;
  const { tensor: moments, pixels: TILE_PIXELS } = t.moments;
  const { C, HW } = normSize(x);
  const { ghosts } = place;
  const TILES = moments.shape[1]!;
  const spec = element(OP, HW, { x, residual, y });
  const elements = (largestGhost(ghosts) * HW) / spec.WIDTH;
  const { WG_SIZE, ROW, parts } = elementwiseTiles(x.gpu, C * ghosts.ghosts, elements, 8);
  const tensors = residual ? 3 : 2;
  x.gpu.run(NORMALIZE_MERGED, {
    buffers: { x, moments, gamma, beta, residual: residual ?? x, statistics, y },
    overrides: { C, HW, RELU, RESIDUAL: residual !== undefined, TILES, TILE_PIXELS, WG_SIZE, ROW },
    params: { ...placeParams(place, statistics), eps: place.eps },
    spec,
    workgroups: [C, ghosts.ghosts, parts],
    cost: {
      flops: (tensors + 1) * x.size + 2.5 * moments.size,
      bytes: tensors * x.byteLength + moments.byteLength,
    },
  });
}

/** Samples that a lane of forward-dense handles per iteration: ROW. */
const DENSE_ROW = 4;

/**
 * Statistics, then normalization, in the fewest dispatches and passes: one dispatch for a layer without pixels, else two.
 * Arguments as for `launchStatistics` and `launchNormalize`.
 *
 * @param t.moments of x's tiles, if the convolution before wrote them
 */
export function launchForward(
  t: {
    x: Tensor;
    gamma: Tensor;
    beta: Tensor;
    residual?: Tensor | undefined;
    statistics: Tensor;
    partials?: Tensor | null;
    moments?: Moments | null;
    y: Tensor;
  },
  options: NormOptions,
): void {
  const { x, gamma, beta, statistics, y } = t;
  const { C, HW } = normSize(x);
  if (!isDense(C, HW) || t.residual) {
    const { moments } = t;
    if (moments && foldPays(x.gpu, options.ghosts, moments.tensor.shape[1]!)) {
      launchNormalizeMerged({ ...t, moments }, options);
      return;
    }
    if (moments) launchMergedStatistics({ moments, statistics }, options);
    else launchStatistics(t, options);
    launchNormalize(t, options);
    return;
  }
  const { COLUMNS, ROWS } = denseTiles(x.gpu, C, options.ghosts);
  const BLOCKED = isBlocked(largestGhost(options.ghosts) / (ROWS * DENSE_ROW));
  x.gpu.run(FORWARD_DENSE, {
    buffers: { x, gamma, beta, statistics, y },
    overrides: { C, RELU: options.relu, COLUMNS, ROWS, BLOCKED },
    params: { ...placeParams(options, statistics), eps: options.eps },
    spec: { Stored: element(OP, C, { x, y }).Stored },
    workgroups: [Math.ceil(C / (4 * COLUMNS)), options.ghosts.ghosts],
    cost: { flops: 7 * x.size, bytes: bytesOf({ x, y }) },
  });
}
