/**
 * How the passes of ghost batch norm are mapped to a device: which file, how many values are loaded together, how many
 * workgroups share a group (one channel of one ghost).
 */
import type { Gpu } from "../gpu/gpu.ts";
import type { ByVariant } from "../gpu/variant.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { FULL_DEVICE, reductionLanes, reductionSplits } from "./reduction-tiles.ts";

/** How a batch, or a slab of one, is cut in order into ghosts: ghost g has the samples from g · ghostSize on. */
export interface Ghosts {
  /** Samples in every ghost but the last one. */
  readonly ghostSize: number;
  /** How many ghosts. */
  readonly ghosts: number;
  /** Samples in all of them; the last ghost ends here, so it may be shorter or longer than the others. */
  readonly total: number;
}

/** The part of the whole network's `statistics` that a layer's slab reads and writes. */
export interface NormPlace {
  /** Ghosts of this slab; the first need not be the batch's first. */
  readonly ghosts: Ghosts & { readonly firstGhost?: number };
  /** Column of `statistics` for the layer's channel 0. */
  readonly firstChannel: number;
}

export interface NormOptions extends NormPlace {
  /** Added to the variance. */
  readonly eps: number;
  /** Whether a relu follows the norm (and the residual, if one is added). */
  readonly relu: boolean;
}

/** Shape of a normalized tensor: x [N, C] or [N, C, …] as [N, C, HW]. */
export function normSize(x: Tensor): { C: number; HW: number } {
  const C = x.shape[1]!;
  return { C, HW: x.size / (x.shape[0]! * C) };
}

/** Layers without pixels have separate kernels, whose lanes take four channels each. */
export function isDense(C: number, HW: number): boolean {
  return HW === 1 && C % 4 === 0;
}

/** Names of the parameters for sizes and positions, which every pass has. */
export const PLACE = [
  "ghost_size",
  "ghosts",
  "total",
  "first_ghost",
  "first_channel",
  "total_channels",
] as const;

/** Their values. */
export function placeParams({ ghosts, firstChannel }: NormPlace, statistics: Tensor) {
  return {
    ghost_size: ghosts.ghostSize,
    ghosts: ghosts.ghosts,
    total: ghosts.total,
    first_ghost: ghosts.firstGhost ?? 0,
    first_channel: firstChannel,
    total_channels: statistics.shape.at(-2)!,
  };
}

/** Samples of the largest ghost. */
export function largestGhost({ ghostSize, ghosts, total }: Ghosts): number {
  return Math.max(ghosts > 1 ? ghostSize : 0, total - (ghosts - 1) * ghostSize);
}

/** Iterations of a lane whose sum is computed separately before it is added to the total: BLOCK in lib/shift.wgsl. */
const BLOCK = 256;

/** Whether a lane's sum over this many iterations is computed in blocks; fewer are one block, for which one loop is enough. */
export function isBlocked(iterations: number): boolean {
  return iterations > BLOCK;
}

/**
 * Workgroups that share the statistics of one group (`reductionSplits`); more than 1 only in full-batch norm.
 *
 * @param least the fewest values that justify another workgroup
 */
export function splitsOf(x: Tensor, ghosts: Ghosts, least: number): number {
  const { C, HW } = normSize(x);
  return reductionSplits(x.gpu, { groups: C * ghosts.ghosts, values: largestGhost(ghosts) * HW, least });
}

/** How an element-wise pass is divided: lanes, Elements of a lane per iteration, workgroups per group. */
export function elementwiseTiles(gpu: Gpu, groups: number, elements: number, row: number) {
  const WG_SIZE = Math.min(256, reductionLanes(gpu, FULL_DEVICE, elements));
  const ROW = Math.min(row, MOST_PER_ITERATION[gpu.baseVariant]);
  const iterations = Math.max(1, Math.floor(elements / (WG_SIZE * ROW)));
  return { WG_SIZE, ROW, parts: ELEMENTWISE_PARTS[gpu.baseVariant](iterations, groups) };
}

const MOST_PER_ITERATION: ByVariant<number> = { narrow: 8, wide: 4 };

// Narrow: a few threads want few, long workgroups. Wide: two iterations each, so that a lane has eight loads in flight.
const ELEMENTWISE_PARTS: ByVariant<(iterations: number, groups: number) => number> = {
  narrow: (iterations, groups) => Math.min(iterations, Math.ceil(64 / groups)),
  wide: (iterations) => Math.ceil(iterations / 2),
};

/**
 * Tiles of the dense kernels: COLUMNS lanes side by side, four channels each, times ROWS lanes that share the samples of a
 * ghost. Wide: a cache line of 8 lanes, or only a memory sector of 2 if there would otherwise be few workgroups, as in
 * full-batch norm. At most 512 lanes, whose sums fill the 16 KiB of workgroup memory that every adapter has.
 */
export function denseTiles(gpu: Gpu, C: number, ghosts: Ghosts): LaneTile {
  return DENSE_TILES[gpu.baseVariant](gpu, C, ghosts);
}

interface LaneTile {
  readonly COLUMNS: number;
  readonly ROWS: number;
}

/** One subgroup, whose lanes work independently. */
const SUBGROUP: LaneTile = { COLUMNS: 8, ROWS: 1 };

const DENSE_TILES: ByVariant<typeof wideDenseTiles> = { narrow: () => SUBGROUP, wide: wideDenseTiles };

function wideDenseTiles(gpu: Gpu, C: number, ghosts: Ghosts): LaneTile {
  let COLUMNS = 8;
  while (COLUMNS > 2 && (C / (4 * COLUMNS)) * ghosts.ghosts < FULL_DEVICE / 4) COLUMNS /= 2;
  const lanes = Math.min(COLUMNS === 8 ? 256 : 512, gpu.device.limits.maxComputeInvocationsPerWorkgroup);
  let ROWS = 1;
  while (ROWS * 2 * COLUMNS <= lanes && ROWS * 2 <= largestGhost(ghosts)) ROWS *= 2;
  return { COLUMNS, ROWS };
}

/**
 * Lanes that merge the moments of a group's tiles: COLUMNS along the channels times ROWS that share the tiles. At most 512, whose
 * sums fill the 16 KiB of workgroup memory that every adapter has.
 *
 * @param tiles of one channel of one ghost
 */
export function mergeTiles(gpu: Gpu, tiles: number): LaneTile {
  return MERGE_TILES[gpu.baseVariant](gpu, tiles);
}

const MERGE_TILES: ByVariant<typeof wideMergeTiles> = { narrow: () => SUBGROUP, wide: wideMergeTiles };

function wideMergeTiles(gpu: Gpu, tiles: number): LaneTile {
  const lanes = Math.min(512, gpu.device.limits.maxComputeInvocationsPerWorkgroup);
  let ROWS = 1;
  while (ROWS * 2 * 8 <= lanes && ROWS * 4 <= tiles) ROWS *= 2;
  return { COLUMNS: 8, ROWS };
}

/**
 * The most tiles that a lane merges one after the other. With more, as in full-batch norm of thousands of images, a few
 * workgroups would take longer than many workgroups take to read all of x.
 */
const MOST_MERGED_TILES: ByVariant<number> = { narrow: Number.POSITIVE_INFINITY, wide: 64 };

/**
 * The most tiles of a group that every workgroup which normalizes part of the group merges itself: eight loads for each of 256 lanes.
 * Narrow adapters are slow at sums over lanes, so they merge in a separate dispatch, with lanes along the channels.
 */
const MOST_FOLDED_TILES: ByVariant<number> = { narrow: 0, wide: 2048 };

/** Whether the moments of tiles are merged in the dispatch that normalizes x; `tiles` of one image. */
export function foldPays(gpu: Gpu, ghosts: Ghosts, tiles: number): boolean {
  return largestGhost(ghosts) * tiles <= MOST_FOLDED_TILES[gpu.baseVariant];
}

/** Whether statistics come faster from the moments of tiles than from x; `tiles` of one image. */
export function mergePays(gpu: Gpu, ghosts: Ghosts, tiles: number): boolean {
  const all = largestGhost(ghosts) * tiles;
  return all <= MOST_MERGED_TILES[gpu.baseVariant] * mergeTiles(gpu, all).ROWS;
}
