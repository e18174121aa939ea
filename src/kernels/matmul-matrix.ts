/** Matrix products of f16 activations on subgroup matrices: how they are cut, and the launcher of matmul/matrix.wgsl. */
import { type Cost, defineKernel } from "../gpu/kernel.ts";
import type { MatrixSize } from "../gpu/matrices.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { floatType, storedType } from "./element.ts";
import { laneWork, MATRIX_LIMITS, multiplyWork, sumRegisters } from "./matrix-cost.ts";
import { cheapest, chooseMatrixTile, remembered, typeText } from "./tile-choice.ts";

const MATRIX = defineKernel({
  file: "matmul/matrix.wgsl",
  bindings: ["a", "b", "bias", "c"],
  overrides: ["BIAS", "ACCUMULATE"],
  params: ["rows", "columns", "depth", "steps"],
  spec: [
    ...(["TRANSPOSE_A", "TRANSPOSE_B", "StoredA", "StoredB", "StoredC", "WIDTH_A", "WIDTH_B"] as const),
    ...(["Component", "M", "N", "D", "LANES", "SUBGROUPS_M", "SUBGROUPS_N"] as const),
    ...(["BLOCKS_M", "BLOCKS_N", "DEPTH"] as const),
  ],
});

/** A product of M × K by K × N numbers, and how it is stored. */
export interface Product {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** The two factors, and how they are stored. */
export interface Operands {
  readonly a: Tensor;
  readonly b: Tensor;
}

/** The product of two stored matrices. */
export function productOf(
  { a, b }: Operands,
  {
    transposeA = false,
    transposeB = false,
  }: { readonly transposeA?: boolean; readonly transposeB?: boolean },
): Product {
  const [M, K] = transposeA ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
  return { M, N: b.shape[transposeB ? 0 : 1]!, K, transposeA, transposeB };
}

/** Spec constants of matmul/matrix.wgsl, except those of the product. */
interface Tile {
  readonly Component: MatrixSize["component"];
  readonly M: number;
  readonly N: number;
  readonly D: number;
  readonly LANES: number;
  readonly SUBGROUPS_M: number;
  readonly SUBGROUPS_N: number;
  readonly BLOCKS_M: number;
  readonly BLOCKS_N: number;
  readonly DEPTH: number;
}

/** A tile, and the number of slices of K that are summed separately, each of `steps` steps of DEPTH terms. */
export interface MatrixCut {
  readonly tile: Tile;
  readonly slices: number;
  readonly steps: number;
  readonly choice: string;
}

/** The most products computed per product that C needs: products with ten classes wait for memory, not for arithmetic. */
const MOST_WASTE = 1.5;

/** The fewest terms of a slice: with fewer, writing and adding up partial sums takes longer than it saves. */
const LEAST_TERMS = 256;

/**
 * How a product is cut. Null if the wide kernel runs: for f32 operands, which matrices would round; if C has so few rows or columns
 * that most of a matrix would be empty; and if `ghostbatch tune` found the wide kernel faster.
 */
export function matmulMatrixCut({ a, b }: Operands, product: Product): MatrixCut | null {
  if (a.dtype !== "f16" && b.dtype !== "f16") return null;
  const { adapter, device, tuning } = a.gpu;
  const { M, N, K, transposeA, transposeB } = product;
  const choice = `matmul/matrix M=${M} N=${N} K=${K}${transposeA ? " Aᵀ" : ""}${transposeB ? " Bᵀ" : ""}${typeText("f16")}`;
  const memory = device.limits.maxComputeWorkgroupStorageSize;
  const threads = device.limits.maxComputeInvocationsPerWorkgroup;
  const LANES = adapter.subgroupMaxSize;
  const limits = JSON.stringify([adapter.matrices, LANES, memory, threads]);
  const ways = remembered(`${choice} ${limits}`, () => {
    const all = adapter.matrices.flatMap((size) => [...tilesOf(size, LANES)]);
    const fitting = all.filter((tile) => {
      return workgroupBytes(tile) <= memory && tile.SUBGROUPS_M * tile.SUBGROUPS_N * LANES <= threads;
    });
    const tiles = cheapest(fitting, (tile) => workOf(product, tile));
    return tiles.map((tile) => ({ ...tile, slices: slicesOf(product, tile) }));
  });
  const way = chooseMatrixTile(tuning, choice, ways, M * N);
  if (way === null) return null;
  const { slices, ...tile } = way;
  const steps = Math.ceil(K / slices / tile.DEPTH);
  return { tile, steps, slices: Math.ceil(K / (steps * tile.DEPTH)), choice };
}

function* tilesOf({ M, N, K: D, component: Component }: MatrixSize, LANES: number): Generator<Tile> {
  for (const [SUBGROUPS_M, SUBGROUPS_N] of [
    [2, 2],
    [2, 4],
    [4, 2],
    [1, 4],
    [4, 1],
  ] as const) {
    for (const BLOCKS_M of [1, 2, 4]) {
      for (const BLOCKS_N of [1, 2, 4]) {
        const sums = BLOCKS_M * BLOCKS_N * sumRegisters({ M, N, LANES });
        if (sums > MATRIX_LIMITS.sumRegisters) continue;
        // 32 terms, the depth of fast products in other libraries too.
        const DEPTH = Math.max(32, D);
        yield { Component, M, N, D, LANES, SUBGROUPS_M, SUBGROUPS_N, BLOCKS_M, BLOCKS_N, DEPTH };
      }
    }
  }
}

function sizeOf({ M, N, SUBGROUPS_M, SUBGROUPS_N, BLOCKS_M, BLOCKS_N }: Tile) {
  return { rows: SUBGROUPS_M * BLOCKS_M * M, columns: SUBGROUPS_N * BLOCKS_N * N };
}

function workgroupBytes(tile: Tile): number {
  const { M, N, SUBGROUPS_M, SUBGROUPS_N, DEPTH, Component } = tile;
  const { rows, columns } = sizeOf(tile);
  const scratch = 4 * SUBGROUPS_M * SUBGROUPS_N * M * N;
  return (Component === "f16" ? 2 : 4) * (rows + columns) * (DEPTH + 8) + scratch;
}

function slicesOf({ M, N, K }: Product, tile: Tile): number {
  const { rows, columns } = sizeOf(tile);
  const workgroups = Math.ceil(M / rows) * Math.ceil(N / columns);
  const most = Math.max(1, Math.floor(K / LEAST_TERMS));
  return Math.max(1, Math.min(most, Math.floor(MATRIX_LIMITS.workgroups / workgroups)));
}

/** What a tile costs for the whole product, in multiply-adds of matrices; infinite if too many of them are wasted. */
function workOf(product: Product, tile: Tile): number {
  const { M, N, K } = product;
  const { LANES, SUBGROUPS_M, SUBGROUPS_N, BLOCKS_M, BLOCKS_N, DEPTH } = tile;
  const { rows, columns } = sizeOf(tile);
  const threads = SUBGROUPS_M * SUBGROUPS_N * LANES;
  const workgroups = Math.ceil(M / rows) * Math.ceil(N / columns);
  // Blocks of 4 × 4 numbers, f32 if they are weights.
  const onTheWay =
    16 * (Math.ceil((rows * DEPTH) / 16 / threads) + Math.ceil((columns * DEPTH) / 16 / threads));
  if (workgroupBytes(tile) > MATRIX_LIMITS.workgroupBytes || onTheWay > MATRIX_LIMITS.registersOnTheWay)
    return Number.POSITIVE_INFINITY;
  if (workgroups * rows * columns > MOST_WASTE * M * N) return Number.POSITIVE_INFINITY;
  const steps = Math.ceil(K / DEPTH);
  const products = rows * columns * steps * DEPTH;
  const fetched = laneWork({
    patch: (rows + columns) * steps * DEPTH,
    weights: 0,
    barriers: 2 * threads * steps,
    results: rows * columns,
  });
  const idle = Math.max(1, MATRIX_LIMITS.workgroups / (workgroups * slicesOf(product, tile)));
  return workgroups * idle * (multiplyWork({ products, BLOCKS_M, BLOCKS_N, M: tile.M, N: tile.N }) + fetched);
}

/**
 * Runs a product with a given cut.
 *
 * @param c [M, N] for one slice, else its partial sums [slices, M, N]
 */
export function runMatmulMatrix(
  { a, b, bias, c }: { a: Tensor; b: Tensor; bias?: Tensor | undefined; c: Tensor },
  { M, N, K, transposeA, transposeB }: Product,
  { tile, slices, steps, choice }: MatrixCut,
  { accumulate, cost }: { readonly accumulate: boolean; readonly cost: Cost },
): void {
  const WIDTH_A = (transposeA ? M : K) % 4 === 0 ? 4 : 1;
  const WIDTH_B = (transposeB ? K : N) % 4 === 0 ? 4 : 1;
  const { rows, columns } = sizeOf(tile);
  c.gpu.run(MATRIX, {
    buffers: { a, b, bias: bias ?? b, c },
    overrides: { BIAS: bias !== undefined, ACCUMULATE: accumulate && slices === 1 },
    params: { rows: M, columns: N, depth: K, steps },
    spec: {
      ...tile,
      ...{ TRANSPOSE_A: `${transposeA}`, TRANSPOSE_B: `${transposeB}`, WIDTH_A, WIDTH_B },
      StoredA: storedType(floatType("matmul", { a }), WIDTH_A),
      StoredB: storedType(floatType("matmul", { b }), WIDTH_B),
      StoredC: floatType("matmul", { c }),
    },
    workgroups: [Math.ceil(N / columns), Math.ceil(M / rows), slices],
    cost: { flops: cost.flops, bytes: cost.bytes + 4 * (slices - 1) * M * N },
    choice,
  });
}
