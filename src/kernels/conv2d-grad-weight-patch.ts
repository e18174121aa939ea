/** Tiles of conv2d/grad-weight-patch.wgsl. */
import type { Gpu } from "../gpu/gpu.ts";
import type { DataType } from "../tensor/tensor.ts";
import type { Conv2dGeometry } from "./conv2d-geometry.ts";
import { cheapest, chooseTile, layerText, remembered, typeText } from "./tile-choice.ts";

/** Spec constants of grad-weight-patch.wgsl, except those of the filter. */
export interface GradWeightPatchTile {
  readonly TM: number;
  readonly THREADS_M: number;
  readonly THREADS_C: number;
  readonly TEAMS: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly PATCH_LANES: number;
  /** Number of runs of pixels, relative to the default. */
  readonly RUNS?: number;
}

/** Bytes of workgroup memory that every WebGPU adapter has. */
const WORKGROUP_BYTES = 16384;

/** The most numbers that a thread may hold while they are fetched from memory, besides 72 sums and 32 numbers of dy. */
const MOST_ON_THE_WAY = 32;

/** The most sums per thread. */
const MOST_SUMS = 100;

/** The fewest pixels of a team's run: with fewer, writing and adding up partial sums costs more than computing them. */
export const LEAST_PIXELS = 256;

/** Multiply-adds in the time that one byte takes to or from memory, on an H100: 33.5 T multiply-adds and 3.35 TB per second. */
const PRODUCTS_OF_A_BYTE = 10;

/** The most products computed per product of the gradient: above this, conv2d/grad-weight.wgsl wastes less. */
const MOST_WASTE = 1.5;

/**
 * The tile for a weight gradient; null if conv2d/grad-weight.wgsl is better: for few input channels, and filters that are large or
 * skip pixels.
 */
export function gradWeightPatchTile(
  gpu: Gpu,
  geometry: Conv2dGeometry,
  type: DataType,
): GradWeightPatchTile | null {
  const { C, K, R, S } = geometry;
  const ways = gradWeightPatchWays(gpu, geometry);
  const way = chooseTile(gpu.tuning, gradWeightPatchChoice(geometry, type), ways, K * C * R * S);
  return way === null || "general" in way ? null : way;
}

/** The tiles; the first tile with half and twice as many runs of pixels; and the general kernel. */
export function gradWeightPatchWays(
  gpu: Gpu,
  geometry: Conv2dGeometry,
): readonly (GradWeightPatchTile | typeof GENERAL)[] {
  if (!gpu.specialized) return [];
  const { R, S, stride } = geometry;
  if (stride > Math.min(R, S) || R > 7 || S > 7) return [];
  return remembered(gradWeightPatchChoice(geometry, "f32"), () => {
    const tiles = cheapest(tilesOf(geometry), (tile) => costOf(geometry, tile));
    const [first] = tiles;
    return first ? [...tiles, { ...first, RUNS: 0.5 }, { ...first, RUNS: 2 }, GENERAL] : [];
  });
}

/** conv2d/grad-weight.wgsl instead. */
const GENERAL = { general: 1 };

/** The key of the choice of a `gradWeightPatchTile`. */
export function gradWeightPatchChoice(geometry: Conv2dGeometry, type: DataType): string {
  return `conv2d/grad-weight-patch N=${geometry.N} ${layerText(geometry)}${typeText(type)}`;
}

function* tilesOf(geometry: Conv2dGeometry): Generator<GradWeightPatchTile> {
  const { K, Q, R, S } = geometry;
  // With 8 output channels, a thread reads workgroup memory least; but with 16 channels in all, a workgroup would have only 32 threads.
  const TM = K > 16 && 8 * R * S <= MOST_SUMS ? 8 : 4;
  if (TM * R * S > MOST_SUMS) return;
  const THREADS_M = (K <= 16 ? 16 : K <= 32 ? 32 : 64) / TM;
  // Rows of 4 pixels would use only half of each 32 bytes that memory delivers.
  for (const TEAMS of [1, 2])
    for (const THREADS_C of [8, 16, 32])
      for (const ROWS of [8, 4, 2])
        for (const COLUMNS of Q > 4 ? [16, 8] : [4]) {
          if (ROWS % TEAMS !== 0) continue;
          const tile = withLanes(geometry, { TM, THREADS_M, THREADS_C, TEAMS, ROWS, COLUMNS });
          if (tile) yield tile;
        }
}

/** A tile, with the number of threads per channel that leaves the fewest idle while fetching; null if it does not fit. */
function withLanes({ R, S, stride }: Conv2dGeometry, tile: Omit<GradWeightPatchTile, "PATCH_LANES">) {
  const { TM, THREADS_M, THREADS_C, TEAMS, ROWS, COLUMNS } = tile;
  const threads = THREADS_M * THREADS_C * TEAMS;
  if (threads < 64 || threads > 128 || threads % (ROWS * COLUMNS) !== 0) return null;
  const [rows, columns] = [(ROWS - 1) * stride + R, (COLUMNS - 1) * stride + S];
  const odd = (quads: number) => 2 * Math.floor(quads / 2) + 1;
  const dyQuads = odd((ROWS * COLUMNS) / 4);
  if ((TEAMS - 1) * THREADS_C > 4 * dyQuads) return null; // where teams are added up
  const quads = TM * THREADS_M * dyQuads + THREADS_C * odd(rows * Math.ceil(columns / 4));
  const fetched = (lanes: number) => Math.ceil((rows * columns) / lanes) * lanes;
  const lanes = [128, 64, 32, 16].filter((count) => count <= threads && THREADS_C * count >= threads);
  const PATCH_LANES = lanes.reduce((a, b) => (fetched(b) < fetched(a) ? b : a));
  const onTheWay = (TM * THREADS_M * ROWS * COLUMNS + THREADS_C * fetched(PATCH_LANES)) / threads;
  if (16 * quads > WORKGROUP_BYTES || onTheWay > MOST_ON_THE_WAY) return null;
  return { ...tile, PATCH_LANES };
}

/**
 * The cost of a tile: instructions of a thread per product of the gradient, including those wasted on border pixels and idle channels,
 * plus the time for its share of the partial sums, in instructions.
 */
function costOf({ C, K, P, Q, R, S, stride }: Conv2dGeometry, tile: GradWeightPatchTile): number {
  const { TM, THREADS_M, THREADS_C, TEAMS, ROWS, COLUMNS, PATCH_LANES } = tile;
  const over = (size: number, step: number) => (Math.ceil(size / step) * step) / size;
  const waste = over(P, ROWS) * over(Q, COLUMNS) * over(C, THREADS_C) * over(K, TM * THREADS_M);
  if (waste > MOST_WASTE) return Number.POSITIVE_INFINITY;
  const patch = ((ROWS - 1) * stride + R) * ((COLUMNS - 1) * stride + S);
  const loads = TM * THREADS_M * ROWS * COLUMNS + THREADS_C * Math.ceil(patch / PATCH_LANES) * PATCH_LANES;
  const products = TM * THREADS_M * THREADS_C * ROWS * COLUMNS * R * S;
  // Fetching a number costs about 5 instructions, and a step about 100 for its barriers and addresses.
  const step = (5 * loads + 100 * THREADS_M * THREADS_C * TEAMS) / products;
  // Each sum is written once and read once.
  const sums = (8 * PRODUCTS_OF_A_BYTE) / (LEAST_PIXELS * TEAMS);
  return waste * (1 + step) + sums;
}
