/** Mean and variance of every ghost: from the values, or from the moments that the preceding convolution has left. */
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import { leadingDims } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { element } from "./element.ts";
import {
  type Ghosts,
  isBlocked,
  largestGhost,
  mergeTiles,
  type NormPlace,
  normSize,
  PLACE,
  placeParams,
  splitsOf,
} from "./ghost-batch-norm-geometry.ts";
import { reductionLanes } from "./reduction-tiles.ts";

const STATISTICS = defineKernel({
  file: "ghost-batch-norm/statistics.wgsl",
  bindings: ["x", "statistics"],
  overrides: ["C", "HW", "SPLITS", "WG_SIZE"],
  params: PLACE,
  spec: ["Element", "Stored", "WIDTH"],
});

const STATISTICS_NARROW = defineKernel({
  file: "ghost-batch-norm/statistics-narrow.wgsl",
  bindings: ["x", "statistics"],
  overrides: ["C", "HW", "BLOCKED"],
  params: PLACE,
  spec: ["Element", "Stored", "WIDTH"],
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
  overrides: ["C", "TILES", "PIXELS", "BLOCKED", "COLUMNS", "ROWS"],
  params: PLACE,
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
  STATISTICS_LAUNCHERS[t.x.gpu.baseVariant](t, place);
}

type LaunchStatistics = typeof launchStatistics;

const STATISTICS_LAUNCHERS: ByVariant<LaunchStatistics> = {
  narrow: launchNarrowStatistics,
  wide: launchWideStatistics,
};

/** Elements that the lanes of statistics-narrow read per iteration: LANES · ROW. */
const NARROW_ELEMENTS = 64;

function launchNarrowStatistics(...[{ x, statistics }, place]: Parameters<LaunchStatistics>): void {
  const { C, HW } = normSize(x);
  const spec = element("ghostBatchNorm", HW, { x });
  const elements = (largestGhost(place.ghosts) * HW) / spec.WIDTH;
  x.gpu.run(STATISTICS_NARROW, {
    buffers: { x, statistics },
    overrides: { C, HW, BLOCKED: isBlocked(elements / NARROW_ELEMENTS) },
    params: placeParams(place, statistics),
    spec,
    workgroups: [C, place.ghosts.ghosts],
    cost: { flops: 4 * x.size, bytes: x.byteLength },
  });
}

function launchWideStatistics(...[{ x, statistics, partials }, place]: Parameters<LaunchStatistics>): void {
  const { C, HW } = normSize(x);
  const G = place.ghosts.ghosts;
  const params = placeParams(place, statistics);
  const spec = element("ghostBatchNorm", HW, { x });
  const SPLITS = partials?.shape[2] ?? 1;
  const elements = (largestGhost(place.ghosts) * HW) / spec.WIDTH;
  const WG_SIZE = reductionLanes(x.gpu, C * G * SPLITS, elements / SPLITS);
  x.gpu.run(STATISTICS, {
    buffers: { x, statistics: partials ?? statistics },
    overrides: { C, HW, SPLITS, WG_SIZE },
    params,
    spec,
    workgroups: [C, G, SPLITS],
    cost: { flops: 4 * x.size, bytes: x.byteLength },
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

/** Moments of the tiles of its output that the convolution before a norm has computed. */
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
  const [, TILES, C] = leadingDims("ghostBatchNorm: moments", moments.shape, 3);
  const { gpu } = moments;
  const tiles = largestGhost(place.ghosts) * TILES;
  const { COLUMNS, ROWS } = mergeTiles(gpu, tiles);
  gpu.run(MERGE, {
    buffers: { moments, statistics: t.statistics },
    overrides: { C, TILES, PIXELS, BLOCKED: isBlocked(tiles / ROWS), COLUMNS, ROWS },
    params: placeParams(place, t.statistics),
    workgroups: [Math.ceil(C / COLUMNS), place.ghosts.ghosts],
    cost: { flops: 2.5 * moments.size, bytes: 4 * moments.size },
  });
}
