/** Tiles of conv2d/grad-weight-patch.wgsl. */
import type { Gpu } from "../gpu/gpu.ts";
import type { DataType } from "../tensor/tensor.ts";
import type { Conv2dGeometry } from "./conv2d-geometry.ts";
import { cheapest, chooseTile, layerText, remembered, typeText } from "./tile-choice.ts";

/** What grad-weight-patch.wgsl takes as spec constants, the filter aside. */
export interface GradWeightPatchTile {
  readonly TM: number;
  readonly THREADS_M: number;
  readonly THREADS_C: number;
  readonly TEAMS: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly PATCH_LANES: number;
  /** Runs of pixels, in relation to as many as usual. */
  readonly RUNS?: number;
}

/** Bytes of workgroup memory that every WebGPU adapter has. */
const WORKGROUP_BYTES = 16384;

/** Numbers that a thread holds on their way from memory, at most: beside 72 sums and 32 numbers of dy. */
const MOST_ON_THE_WAY = 32;

/** Sums of a thread, at most. */
const MOST_SUMS = 100;

/** Pixels of a team's run, at the least: below, writing and adding up partial sums costs more than making them. */
export const LEAST_PIXELS = 256;

/** Multiply-adds in the time of a byte to or from memory, on an H100: 33.5 T of them and 3.35 TB a second. */
const PRODUCTS_OF_A_BYTE = 10;

/** Products computed for each product of the gradient, at most: with more, conv2d/grad-weight.wgsl wastes less. */
const MOST_WASTE = 1.5;

/** The tile for a weight gradient; null where conv2d/grad-weight.wgsl is the better kernel: few input channels, a filter that is large or skips pixels. */
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

/** The tiles; the first with half and twice as many runs of pixels; and the general kernel. */
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
  // 8 output channels of a thread read workgroup memory least; of 16 channels in all they would leave a workgroup 32 threads.
  const TM = K > 16 && 8 * R * S <= MOST_SUMS ? 8 : 4;
  if (TM * R * S > MOST_SUMS) return;
  const THREADS_M = (K <= 16 ? 16 : K <= 32 ? 32 : 64) / TM;
  // Rows of 4 pixels would take half of each 32 bytes that memory gives.
  for (const TEAMS of [1, 2])
    for (const THREADS_C of [8, 16, 32])
      for (const ROWS of [8, 4, 2])
        for (const COLUMNS of Q > 4 ? [16, 8] : [4]) {
          if (ROWS % TEAMS !== 0) continue;
          const tile = withLanes(geometry, { TM, THREADS_M, THREADS_C, TEAMS, ROWS, COLUMNS });
          if (tile) yield tile;
        }
}

/** A tile with the number of threads that fetch a channel with the fewest of them idle; null where it does not fit. */
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
 * Of a tile: instructions of a thread for each product of the gradient, those that border pixels and idle channels waste included, and
 * as many as take the time of its share of the partial sums.
 */
function costOf({ C, K, P, Q, R, S, stride }: Conv2dGeometry, tile: GradWeightPatchTile): number {
  const { TM, THREADS_M, THREADS_C, TEAMS, ROWS, COLUMNS, PATCH_LANES } = tile;
  const over = (size: number, step: number) => (Math.ceil(size / step) * step) / size;
  const waste = over(P, ROWS) * over(Q, COLUMNS) * over(C, THREADS_C) * over(K, TM * THREADS_M);
  if (waste > MOST_WASTE) return Number.POSITIVE_INFINITY;
  const patch = ((ROWS - 1) * stride + R) * ((COLUMNS - 1) * stride + S);
  const loads = TM * THREADS_M * ROWS * COLUMNS + THREADS_C * Math.ceil(patch / PATCH_LANES) * PATCH_LANES;
  const products = TM * THREADS_M * THREADS_C * ROWS * COLUMNS * R * S;
  // A number fetched costs about 5 instructions; a step about 100 for its barriers and addresses.
  const step = (5 * loads + 100 * THREADS_M * THREADS_C * TEAMS) / products;
  // Each sum is written once and read once.
  const sums = (8 * PRODUCTS_OF_A_BYTE) / (LEAST_PIXELS * TEAMS);
  return waste * (1 + step) + sums;
}
