/**
 * Ghost batch norm, forward: x [N, C, HW] (HW = 1 behind a linear layer) is cut in order into ghosts, each normalized
 * with its own statistics (Hoffer et al. 2017, Algorithm 1). Every pass is one dispatch for all ghosts.
 *
 * `statistics` [rows, totalChannels, 2] holds (mean, biased variance) of every ghost of the batch and every layer of the
 * network: ghost g of a slab has row firstGhost + g, channel c of a layer column firstChannel + c. Gradients are in
 * ghost-batch-norm-gradients.ts, running statistics in ghost-batch-norm-running.ts.
 */
import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  denseTiles,
  elementwiseTiles,
  type Ghosts,
  isDense,
  largestGhost,
  mergeTiles,
  type NormOptions,
  type NormPlace,
  normSize,
  PLACE,
  placeParams,
  splitsOf,
} from "./ghost-batch-norm-geometry.ts";
import { element, reductionLanes } from "./reduction-tiles.ts";

export type { Ghosts, NormOptions, NormPlace } from "./ghost-batch-norm-geometry.ts";
export { launchRunningStatistics, type RunningRule } from "./ghost-batch-norm-running.ts";

const STATISTICS = defineKernel({
  file: "ghost-batch-norm/statistics.wgsl",
  bindings: ["x", "statistics"],
  overrides: ["C", "HW", "SPLITS", "WG_SIZE"],
  params: PLACE,
  spec: ["Element", "WIDTH"],
});

const STATISTICS_NARROW = defineKernel({
  file: "ghost-batch-norm/statistics-narrow.wgsl",
  bindings: ["x", "statistics"],
  overrides: ["C", "HW"],
  params: PLACE,
  spec: ["Element", "WIDTH"],
});

const COMBINE = defineKernel({
  file: "ghost-batch-norm/statistics-combine.wgsl",
  bindings: ["partials", "statistics"],
  overrides: ["C", "HW", "SPLITS", "WIDTH"],
  params: PLACE,
});

const MERGE = defineKernel({
  file: "ghost-batch-norm/statistics-merge.wgsl",
  bindings: ["moments", "statistics"],
  overrides: ["C", "TILES", "PIXELS", "COLUMNS", "ROWS"],
  params: PLACE,
});

const NORMALIZE = defineKernel({
  file: "ghost-batch-norm/normalize.wgsl",
  bindings: ["x", "mean", "variance", "gamma", "beta", "residual", "y"],
  overrides: ["C", "HW", "RELU", "RESIDUAL", "WG_SIZE", "ROW"],
  params: [...PLACE, "stride", "variance_offset", "eps"],
  spec: ["Element", "WIDTH"],
});

const NORMALIZE_DENSE = defineKernel({
  file: "ghost-batch-norm/normalize-dense.wgsl",
  bindings: ["x", "mean", "variance", "gamma", "beta", "y"],
  overrides: ["C", "RELU", "ROWS"],
  params: [...PLACE, "stride", "variance_offset", "eps"],
});

const FORWARD_DENSE = defineKernel({
  file: "ghost-batch-norm/forward-dense.wgsl",
  bindings: ["x", "gamma", "beta", "statistics", "y"],
  overrides: ["C", "RELU", "COLUMNS", "ROWS"],
  params: [...PLACE, "eps"],
});

/**
 * Shape of the scratch tensor with which `launchStatistics` shares each group among several workgroups, or null where
 * one workgroup per group is best. Without the scratch it does without sharing.
 */
export function partialsShape(x: Tensor, ghosts: Ghosts): readonly number[] | null {
  // From 2^18 values on, what a workgroup of 1024 lanes reads takes longer than a second dispatch.
  const splits = largestGhost(ghosts) * normSize(x).HW < 2 ** 18 ? 1 : splitsOf(x, ghosts, 2 ** 16);
  return splits === 1 ? null : [ghosts.ghosts, normSize(x).C, splits, 2];
}

/**
 * mean = 1/M · Σ x,  variance = 1/M · Σ (x − mean)²  over the M = samples · HW values of each channel of each ghost.
 *
 * Layers without pixels are better served by `launchForward`, which needs no pass for this.
 *
 * @param t.x          [N, C, …]
 * @param t.statistics [rows, totalChannels, 2], the rows and columns of this slab and layer are written
 * @param t.partials   scratch of `partialsShape(x, ghosts)`
 */
export function launchStatistics(
  t: { x: Tensor; statistics: Tensor; partials?: Tensor | null },
  place: NormPlace,
): void {
  const { x, statistics, partials } = t;
  const { C, HW } = normSize(x);
  const G = place.ghosts.ghosts;
  const params = placeParams(place, statistics);
  const spec = element(HW);
  const cost = { flops: 4 * x.size, bytes: 4 * x.size };
  if (x.gpu.variant === "narrow") {
    x.gpu.run(STATISTICS_NARROW, {
      buffers: { x, statistics },
      overrides: { C, HW },
      params,
      spec,
      workgroups: [C, G],
      cost,
    });
    return;
  }
  const SPLITS = partials?.shape[2] ?? 1;
  const elements = (largestGhost(place.ghosts) * HW) / spec.WIDTH;
  const WG_SIZE = reductionLanes(x.gpu, C * G * SPLITS, elements / SPLITS);
  x.gpu.run(STATISTICS, {
    buffers: { x, statistics: partials ?? statistics },
    overrides: { C, HW, SPLITS, WG_SIZE },
    params,
    spec,
    workgroups: [C, G, SPLITS],
    cost,
  });
  if (!partials) return;
  x.gpu.run(COMBINE, {
    buffers: { partials, statistics },
    overrides: { C, HW, SPLITS, WIDTH: spec.WIDTH },
    params,
    workgroups: [Math.ceil((G * C) / 64)],
    cost: { flops: 2 * partials.size, bytes: 4 * partials.size },
  });
}

/** What the convolution before a norm has found out about the tiles of its output. */
export interface Moments {
  /** [N, tiles of an image, C, 2] of (mean, Σ (x − mean)²). */
  readonly tensor: Tensor;
  /** Pixels of a tile. */
  readonly pixels: number;
}

/**
 * The statistics of `launchStatistics` from the moments of tiles, without reading x.
 *
 * @param t.statistics [rows, totalChannels, 2], the rows and columns of this slab and layer are written
 */
export function launchMergedStatistics(t: { moments: Moments; statistics: Tensor }, place: NormPlace): void {
  const { tensor: moments, pixels: PIXELS } = t.moments;
  const [, TILES, C] = moments.shape as [number, number, number];
  const { gpu } = moments;
  const { COLUMNS, ROWS } = mergeTiles(gpu, largestGhost(place.ghosts) * TILES);
  gpu.run(MERGE, {
    buffers: { moments, statistics: t.statistics },
    overrides: { C, TILES, PIXELS, COLUMNS, ROWS },
    params: placeParams(place, t.statistics),
    workgroups: [Math.ceil(C / COLUMNS), place.ghosts.ghosts],
    cost: { flops: 2.5 * moments.size, bytes: 4 * moments.size },
  });
}

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
  const cost = { flops: (tensors + 1) * x.size, bytes: 4 * tensors * x.size };
  const samples = largestGhost({ ...params, ghostSize: params.ghost_size });
  if (isDense(C, HW) && !residual) {
    const ROWS = x.gpu.variant === "narrow" ? 1 : 8;
    x.gpu.run(NORMALIZE_DENSE, {
      buffers: { x, mean, variance, gamma, beta, y },
      overrides: { C, RELU, ROWS },
      params,
      workgroups: [Math.ceil(C / 32), G, Math.max(1, Math.ceil(samples / 64))],
      cost,
    });
    return;
  }
  const spec = element(HW);
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
 * Statistics, then normalization, in the fewest dispatches and passes: one dispatch for a layer without pixels, else two.
 * Arguments as for `launchStatistics` and `launchNormalize`.
 *
 * @param t.moments of x's tiles, where the convolution before has left them
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
    if (moments) launchMergedStatistics({ moments, statistics }, options);
    else launchStatistics(t, options);
    launchNormalize(t, options);
    return;
  }
  const { COLUMNS, ROWS } = denseTiles(x.gpu, C, options.ghosts);
  x.gpu.run(FORWARD_DENSE, {
    buffers: { x, gamma, beta, statistics, y },
    overrides: { C, RELU: options.relu, COLUMNS, ROWS },
    params: { ...placeParams(options, statistics), eps: options.eps },
    workgroups: [Math.ceil(C / (4 * COLUMNS)), options.ghosts.ghosts],
    cost: { flops: 7 * x.size, bytes: 8 * x.size },
  });
}
