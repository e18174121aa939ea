/**
 * conv2d on subgroup matrices: forward and the gradient of the input. They handle layers with f16 activations whose channels
 * and pixels fill matrices well enough; other layers run on the wide kernels.
 */
import type { Gpu } from "../gpu/gpu.ts";
import type { MatrixSize } from "../gpu/matrices.ts";
import type { Conv2dGeometry, GatherForm } from "./conv2d-geometry.ts";
import { laneWork, MATRIX_LIMITS, multiplyWork, sumRegisters } from "./matrix-cost.ts";
import { cheapest, chooseMatrixTile, layerText, remembered, typeText } from "./tile-choice.ts";

/** Spec constants of forward-matrix.wgsl, except those of the layer. */
export interface MatrixTile {
  readonly Component: MatrixSize["component"];
  readonly M: number;
  readonly N: number;
  readonly D: number;
  readonly LANES: number;
  readonly SUBGROUPS_M: number;
  readonly SUBGROUPS_N: number;
  readonly BLOCKS_M: number;
  readonly BLOCKS_N: number;
  readonly CHANNELS: number;
  readonly FILTER_ROWS: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly IMAGES: number;
}

/** The key of the choice of a `gatherMatrixTile`. */
export function gatherMatrixChoice(sizes: Conv2dGeometry, { transposed, type }: GatherForm): string {
  return `conv2d/forward-matrix N=${sizes.N} ${layerText(sizes)}${transposed ? " transposed" : ""}${typeText(type)}`;
}

/**
 * The tile for a convolution of these sizes, as the kernel sees them. Null if the wide kernels run: for f32 activations, which
 * matrices would round; for few channels, which would leave most of a matrix empty; for filters or rows that do not fit into workgroup
 * memory; and if `ghostbatch tune` found the wide kernels faster.
 */
export function gatherMatrixTile(gpu: Gpu, sizes: Conv2dGeometry, form: GatherForm): MatrixTile | null {
  const { transposed, type } = form;
  if (type !== "f16" || !gpu.specialized) return null;
  const { adapter, device } = gpu;
  const { N, K, P, Q } = sizes;
  const key = gatherMatrixChoice(sizes, form);
  const memory = device.limits.maxComputeWorkgroupStorageSize;
  const threads = device.limits.maxComputeInvocationsPerWorkgroup;
  const LANES = adapter.subgroupMaxSize;
  const sizesText = JSON.stringify([adapter.matrices, LANES, memory, threads]);
  const ways = remembered(`${key} ${sizesText}`, () => {
    const all = adapter.matrices.flatMap((size) => [...tilesOf(sizes, transposed, size, LANES)]);
    const fitting = all.filter((tile) => {
      const { SUBGROUPS_M, SUBGROUPS_N } = tile;
      const { bytes } = footprint(sizes, transposed, tile);
      return bytes <= memory && SUBGROUPS_M * SUBGROUPS_N * LANES <= threads;
    });
    return cheapest(fitting, (tile) => workOf(sizes, transposed, tile));
  });
  return chooseMatrixTile(gpu.tuning, key, ways, N * K * P * Q);
}

/** All tiles of a matrix size that leave enough registers, whatever their cost. */
function* tilesOf(
  { C, K, P, Q, R, stride }: Conv2dGeometry,
  transposed: boolean,
  { M, N, K: D, component: Component }: MatrixSize,
  LANES: number,
): Generator<MatrixTile> {
  const step = transposed ? stride : 1;
  const [rows, columns] = [Math.ceil(P / step), Math.ceil(Q / step)];
  const tapRows = Math.ceil(R / step);
  for (let IMAGES = 1; 4 * IMAGES <= N; IMAGES *= 2) {
    const columnsOfBlock = N / IMAGES;
    if (IMAGES > 1 && columns >= N) continue; // rows fill matrices
    const COLUMNS = Math.ceil(columns / columnsOfBlock) * columnsOfBlock;
    const blocksOfRow = COLUMNS / columnsOfBlock;
    for (const [SUBGROUPS_M, SUBGROUPS_N] of SUBGROUPS) {
      for (const BLOCKS_M of [1, 2, 4]) {
        // The last subgroups of a workgroup would have no channels.
        if ((SUBGROUPS_M - 1) * BLOCKS_M * M >= K || (BLOCKS_M > 1 && (BLOCKS_M / 2) * M >= K)) continue;
        for (const BLOCKS_N of [1, 2, 4, 8]) {
          if (BLOCKS_M * BLOCKS_N * sumRegisters({ M, N, LANES }) > MATRIX_LIMITS.sumRegisters) continue;
          const ROWS = Math.min(rows, Math.floor((SUBGROUPS_N * BLOCKS_N) / blocksOfRow));
          if (ROWS < 1) continue;
          for (const steps of [1, 2, 4]) {
            const CHANNELS = Math.max(D, 8) * steps;
            if (steps > 1 && CHANNELS / 2 >= C) continue;
            for (const FILTER_ROWS of new Set([tapRows, 1])) {
              yield {
                ...{ Component, M, N, D, LANES, SUBGROUPS_M, SUBGROUPS_N, BLOCKS_M, BLOCKS_N },
                ...{ CHANNELS, FILTER_ROWS, ROWS, COLUMNS, IMAGES },
              };
            }
          }
        }
      }
    }
  }
}

/** Subgroups of a workgroup, along channels and along pixels. */
const SUBGROUPS = [
  [1, 4],
  [2, 2],
  [1, 8],
  [2, 4],
  [4, 2],
] as const;

/** For a tile: bytes of workgroup memory, pixels of the patch, weights per step, and numbers that a thread holds while it fetches. */
function footprint({ R, S, stride }: Conv2dGeometry, transposed: boolean, tile: MatrixTile) {
  const { M, N, SUBGROUPS_M, SUBGROUPS_N, BLOCKS_M, CHANNELS, FILTER_ROWS, ROWS, COLUMNS, IMAGES } = tile;
  const [xStep, yStep] = transposed ? [1, stride] : [stride, 1];
  const [tapRows, tapColumns] = [Math.ceil(R / yStep), Math.ceil(S / yStep)];
  const phases = Math.min(xStep, R) * Math.min(xStep, S);
  const patchRows = ROWS + Math.floor((tapRows - 1) / xStep);
  const patchColumns = COLUMNS + Math.floor((tapColumns - 1) / xStep);
  const pixels = phases * patchRows * patchColumns * IMAGES;
  const channels = SUBGROUPS_M * BLOCKS_M * M;
  const componentBytes = tile.Component === "f16" ? 2 : 4;
  const scratch = SUBGROUPS_M * SUBGROUPS_N * M * N * Math.floor((BLOCKS_M + 1) / 2) + channels * IMAGES;
  const bytes =
    componentBytes * (CHANNELS + 8) * (pixels + FILTER_ROWS * tapColumns * channels) + 4 * scratch;
  return { bytes, pixels, tapRows, weights: FILTER_ROWS * tapColumns * channels * CHANNELS };
}

/** What a tile costs for the whole layer, in multiply-adds of matrices; infinite if too many of them are wasted. */
function workOf(sizes: Conv2dGeometry, transposed: boolean, tile: MatrixTile): number {
  const { N: images, C, K, P, Q, R, S, stride } = sizes;
  const { M, N, LANES, SUBGROUPS_M, SUBGROUPS_N, BLOCKS_M, BLOCKS_N, CHANNELS, FILTER_ROWS, ROWS, IMAGES } =
    tile;
  const step = transposed ? stride : 1;
  const { bytes, pixels, tapRows, weights } = footprint(sizes, transposed, tile);
  const threads = SUBGROUPS_M * SUBGROUPS_N * LANES;
  const onTheWay = Math.ceil((pixels * CHANNELS) / threads) / 2 + Math.ceil(weights / threads);
  if (bytes > MATRIX_LIMITS.workgroupBytes || onTheWay > MATRIX_LIMITS.registersOnTheWay)
    return Number.POSITIVE_INFINITY;
  const channelTiles = Math.ceil(K / (SUBGROUPS_M * BLOCKS_M * M));
  const pixelTiles = Math.ceil(Math.ceil(P / step) / ROWS) * Math.ceil(images / IMAGES);
  const workgroups = channelTiles * step * step * pixelTiles;
  // Steps over channels; taps are the mean over the lattices, which have R·S in all.
  const steps = Math.ceil(C / CHANNELS);
  const taps = (R * S) / (step * step);
  const products = SUBGROUPS_M * SUBGROUPS_N * BLOCKS_M * BLOCKS_N * M * N * steps * CHANNELS * taps;
  if (workgroups * products > MATRIX_LIMITS.waste * images * K * P * Q * C * R * S)
    return Number.POSITIVE_INFINITY;
  const fetched = laneWork({
    patch: steps * pixels * CHANNELS,
    weights: steps * weights * Math.ceil(tapRows / FILTER_ROWS),
    barriers: 2 * threads * steps * Math.ceil(tapRows / FILTER_ROWS),
    results: SUBGROUPS_M * SUBGROUPS_N * BLOCKS_M * BLOCKS_N * M * N,
  });
  const idle = Math.max(1, MATRIX_LIMITS.workgroups / workgroups);
  return workgroups * idle * (multiplyWork({ products, BLOCKS_M, BLOCKS_N, M, N }) + fetched);
}
