/** conv2d's weight gradient on subgroup matrices: tiles of conv2d/grad-weight-matrix.wgsl, for f16 activations. */
import type { Gpu } from "../gpu/gpu.ts";
import type { MatrixSize } from "../gpu/matrices.ts";
import type { DataType } from "../tensor/tensor.ts";
import type { Conv2dGeometry } from "./conv2d-geometry.ts";
import { laneWork, MATRIX_LIMITS, multiplyWork, sumRegisters } from "./matrix-cost.ts";
import { cheapest, chooseMatrixTile, layerText, remembered, typeText } from "./tile-choice.ts";

/** Spec constants of grad-weight-matrix.wgsl, except those of the layer. */
export interface GradWeightMatrixTile {
  readonly Component: MatrixSize["component"];
  readonly M: number;
  readonly N: number;
  readonly D: number;
  readonly LANES: number;
  readonly SUBGROUPS_M: number;
  readonly SUBGROUPS_D: number;
  readonly BLOCKS_M: number;
  readonly BLOCKS_N: number;
  readonly ROWS: number;
  readonly IMAGES: number;
  readonly COLUMNS: number;
  readonly TAP_ROWS: number;
}

/** The key of the choice of a `gradWeightMatrixTile`. */
export function gradWeightMatrixChoice(geometry: Conv2dGeometry, type: DataType): string {
  return `conv2d/grad-weight-matrix N=${geometry.N} ${layerText(geometry)}${typeText(type)}`;
}

/**
 * The tile for a weight gradient. Null if the wide kernels run: for f32 activations, which matrices would round; for few channels or
 * filters with many columns; and if `ghostbatch tune` found them faster.
 */
export function gradWeightMatrixTile(
  gpu: Gpu,
  geometry: Conv2dGeometry,
  type: DataType,
): GradWeightMatrixTile | null {
  if (type !== "f16" || !gpu.specialized) return null;
  const { adapter, device } = gpu;
  const { C, K, R, S } = geometry;
  const key = gradWeightMatrixChoice(geometry, type);
  const memory = device.limits.maxComputeWorkgroupStorageSize;
  const threads = device.limits.maxComputeInvocationsPerWorkgroup;
  const LANES = adapter.subgroupMaxSize;
  const limits = JSON.stringify([adapter.matrices, LANES, memory, threads]);
  const ways = remembered(`${key} ${limits}`, () => {
    const all = adapter.matrices.flatMap((size) => [...tilesOf(geometry, size, LANES)]);
    const fitting = all.filter((tile) => {
      const { SUBGROUPS_M, SUBGROUPS_D } = tile;
      return footprint(geometry, tile).bytes <= memory && SUBGROUPS_M * SUBGROUPS_D * LANES <= threads;
    });
    return cheapest(fitting, (tile) => workOf(geometry, tile));
  });
  return chooseMatrixTile(gpu.tuning, key, ways, K * C * R * S);
}

/** Subgroups of a workgroup, along channels of dy and along pixels. */
const SUBGROUPS = [
  [1, 4],
  [1, 8],
  [2, 2],
  [2, 4],
  [4, 1],
  [4, 2],
] as const;

function* tilesOf(
  { C, K, P, Q, R, S, stride }: Conv2dGeometry,
  { M, N, K: D, component: Component }: MatrixSize,
  LANES: number,
): Generator<GradWeightMatrixTile> {
  // Rows of lines must begin at multiples of 8 numbers, for one image or several together.
  const widths = new Set([4 * Math.ceil(Q / 4), 8 * Math.ceil(Q / 8)]);
  const rowsOfImages = [...widths].flatMap((COLUMNS) =>
    [1, 2, 4, 8]
      .filter((IMAGES) => (IMAGES * COLUMNS) % 8 === 0 && (IMAGES === 1 || IMAGES * COLUMNS <= 16))
      .map((IMAGES) => ({ COLUMNS, IMAGES })),
  );
  const tapRows = [R, 3, 2, 1].map((rows) => (rows < R ? rows - (rows % stride) : R));
  for (const [SUBGROUPS_M, SUBGROUPS_D] of SUBGROUPS) {
    if ((SUBGROUPS_M - 1) * M >= K) continue;
    for (const BLOCKS_M of [1, 2]) {
      if (BLOCKS_M > 1 && SUBGROUPS_M * M >= K) continue;
      for (const BLOCKS_N of [1, 2]) {
        if (BLOCKS_N > 1 && N >= C) continue;
        for (const TAP_ROWS of new Set(tapRows.filter((rows) => rows > 0))) {
          const sums = BLOCKS_M * BLOCKS_N * TAP_ROWS * S * sumRegisters({ M, N, LANES });
          if (sums > MATRIX_LIMITS.tapSumRegisters) continue;
          for (const { COLUMNS, IMAGES } of rowsOfImages) {
            for (const ROWS of heights(P)) {
              if ((ROWS * IMAGES * COLUMNS) % D !== 0) continue;
              const subgroups = { SUBGROUPS_M, SUBGROUPS_D, BLOCKS_M, BLOCKS_N };
              yield { Component, M, N, D, LANES, ...subgroups, ROWS, IMAGES, COLUMNS, TAP_ROWS };
            }
          }
        }
      }
    }
  }
}

/** Numbers of rows of a tile that are worth trying: all rows of an image, and parts of them. */
function heights(P: number): number[] {
  const parts = [1, 2, 4, 8].map((part) => Math.ceil(P / part));
  return [...new Set([...parts, ...parts.map((rows) => 2 * Math.ceil(rows / 2)), 4 * Math.ceil(P / 4)])];
}

/** For a tile: bytes of workgroup memory, and the numbers of dy and x that it stores there. */
function footprint({ S, stride }: Conv2dGeometry, tile: GradWeightMatrixTile) {
  const { M, N, SUBGROUPS_M, SUBGROUPS_D, BLOCKS_M, BLOCKS_N, ROWS, IMAGES, COLUMNS, TAP_ROWS } = tile;
  const pixels = ROWS * IMAGES * COLUMNS;
  const planes = Math.min(stride, TAP_ROWS) * (ROWS + Math.floor((TAP_ROWS - 1) / stride)) * IMAGES * COLUMNS;
  const odd = (numbers: number) => 8 * (2 * Math.floor(numbers / 16) + 1);
  const [channels, channelsOfX] = [SUBGROUPS_M * BLOCKS_M * M, BLOCKS_N * N];
  const componentBytes = tile.Component === "f16" ? 2 : 4;
  const lines = channels * odd(pixels) + channelsOfX * odd(S * planes);
  const bytes = componentBytes * lines + 4 * SUBGROUPS_M * SUBGROUPS_D * M * N;
  return { bytes, pixels, dy: channels * pixels, x: channelsOfX * planes };
}

/** What a tile costs for the whole layer, in multiply-adds of matrices; infinite if too many of them are wasted. */
function workOf(geometry: Conv2dGeometry, tile: GradWeightMatrixTile): number {
  const { N: images, C, K, P, Q, R, S, stride } = geometry;
  const { M, N, D, LANES, SUBGROUPS_M, SUBGROUPS_D, BLOCKS_M, BLOCKS_N, ROWS, IMAGES, TAP_ROWS } = tile;
  const { bytes, pixels, dy, x } = footprint(geometry, tile);
  const threads = SUBGROUPS_M * SUBGROUPS_D * LANES;
  // Windows of x hold 3·stride + S numbers for four.
  const onTheWay = Math.ceil(dy / threads) / 2 + (Math.ceil(x / threads) * (3 * stride + S)) / 8;
  if (bytes > MATRIX_LIMITS.workgroupBytes || onTheWay > MATRIX_LIMITS.registersOnTheWay)
    return Number.POSITIVE_INFINITY;
  const channelTiles = Math.ceil(K / (SUBGROUPS_M * BLOCKS_M * M)) * Math.ceil(C / (BLOCKS_N * N));
  const tiles = Math.ceil(R / TAP_ROWS) * channelTiles * Math.ceil(P / ROWS) * Math.ceil(images / IMAGES);
  const rounds = Math.ceil(pixels / D / SUBGROUPS_D);
  const products = SUBGROUPS_M * SUBGROUPS_D * BLOCKS_M * BLOCKS_N * M * N * D * rounds * TAP_ROWS * S;
  if (tiles * products > MATRIX_LIMITS.waste * images * K * P * Q * C * R * S)
    return Number.POSITIVE_INFINITY;
  const fetched = laneWork({ patch: dy + x * S, weights: 0, barriers: 2 * threads, results: 0 });
  // A left matrix serves all taps.
  return tiles * (multiplyWork({ products, BLOCKS_M, BLOCKS_N: BLOCKS_N * TAP_ROWS * S, M, N }) + fetched);
}
