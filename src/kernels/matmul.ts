/** Launcher of the matrix product and the transposes that linear layers and their gradients need. */
import type { Gpu } from "../gpu/gpu.ts";
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import { ELEMENT_BYTES, empty, type FloatType, type Tensor } from "../tensor/tensor.ts";
import { bytesOf, floatType, storedType } from "./element.ts";
import { type MatmulCut, matmulCuts } from "./matmul-cuts.ts";
import { matmulMatrixCut, type Operands, type Product, productOf, runMatmulMatrix } from "./matmul-matrix.ts";
import { type NarrowMatmulCut, narrowMatmulCuts } from "./matmul-narrow-cuts.ts";
import { launchSumRows } from "./sum-rows.ts";
import { typeText } from "./tile-choice.ts";

const TILED = defineKernel({
  file: "matmul/tiled.wgsl",
  bindings: ["a", "b", "bias", "c"],
  overrides: ["TRANSPOSE_A", "TRANSPOSE_B", "PACKED_A", "PACKED_B", "BIAS", "ACCUMULATE"],
  params: ["rows", "columns", "depth", "steps"],
  spec: [
    ...(["PackA", "PackB", "StoredA", "StoredB", "StoredC"] as const),
    ...(["TILE_M", "TILE_N", "TILE_K", "MICRO_M", "MICRO_N", "TEAMS", "UNROLL"] as const),
  ],
});

const TILED_NARROW = defineKernel({
  file: "matmul/tiled-narrow.wgsl",
  bindings: ["a", "b", "bias", "c"],
  overrides: ["BIAS", "ACCUMULATE"],
  params: [
    ...(["rows", "columns", "depth", "slice", "a_row", "a_term", "b_term", "b_column"] as const),
    ...(["c_row", "c_column", "bias_row", "bias_column", "neighbors"] as const),
  ],
  spec: ["StoredA", "StoredB", "StoredC", "LANES", "GROUPS", "ROWS", "COLUMNS", "STEP"],
});

export interface MatmulTensors {
  readonly a: Tensor;
  readonly b: Tensor;
  readonly bias?: Tensor | undefined;
  readonly c: Tensor;
}

export interface MatmulOptions {
  /** `a` is stored as [K, M]. */
  readonly transposeA?: boolean;
  /** `b` is stored as [N, K]. */
  readonly transposeB?: boolean;
  /** Add to `c` instead of overwriting it. */
  readonly accumulate?: boolean;
  /** On a wide GPU: how the work is cut. Chosen by the shape unless given, as tests and benchmarks do. */
  readonly cut?: MatmulCut;
  /** The same on a narrow adapter. */
  readonly narrowCut?: NarrowMatmulCut;
}

/**
 * c[m, n] = Σ_k op(a)[m, k] · op(b)[k, n]  (+ bias[n])  (+ c[m, n]), summed in a fixed order.
 *
 * For y = x·Wᵀ + bias of a linear layer: forward transposes b, dx neither, dW a.
 *
 * Each of a, b and c is f32 or f16.
 *
 * @param a     [M, K], or [K, M] with transposeA
 * @param b     [K, N], or [N, K] with transposeB
 * @param bias  [N], optional
 * @param c     [M, N], written, or added to
 */
export function launchMatmul(tensors: MatmulTensors, options: MatmulOptions = {}): void {
  const { c, bias } = tensors;
  const ends = { summedLater: false, biased: bias !== undefined };
  const { slices, choice, launch } = cutProduct(tensors, options, ends);
  const target = slices > 1 ? empty(c.gpu, [slices, ...c.shape], "f32", "matmul partial sums") : c;
  launch(tensors, target);
  if (slices > 1) launchSumRows({ x: target, y: c }, { accumulate: options.accumulate ?? false, choice });
}

/**
 * The number of slices of K if the partial sums are added up later, together with others, as those of weight gradients are. 1: no
 * partial sums.
 */
export function matmulSlices(operands: Operands, options: MatmulOptions = {}): number {
  return cutProduct(operands, options, SUMMED_LATER).slices;
}

/**
 * The partial sums of a product, one for each slice of K: `matmulSlices` of them.
 *
 * @param t.c [slices, M, N], or [M, N] for one slice; written, or added to if there is one slice
 */
export function launchMatmulSlices(t: Omit<MatmulTensors, "bias">, options: MatmulOptions = {}): void {
  cutProduct(t, options, SUMMED_LATER).launch(t, t.c);
}

interface SizedProduct {
  /** M, N, K */
  readonly size: readonly [number, number, number];
  /** f16 if either factor is. */
  readonly type: FloatType;
}

/** What happens to the sums. */
interface Ends {
  /** Partial sums are added up later together with others, so they need no separate dispatch. */
  readonly summedLater: boolean;
  readonly biased: boolean;
}

const SUMMED_LATER: Ends = { summedLater: true, biased: false };

/** A product, and how it is cut. */
interface CutProduct {
  readonly slices: number;
  /** The name of the choice among cuts. */
  readonly choice: string;
  /** @param target c, or its partial sums */
  launch(tensors: MatmulTensors, target: Tensor): void;
}

const CUT: ByVariant<(gpu: Gpu, sized: SizedProduct, options: MatmulOptions, ends: Ends) => CutProduct> = {
  narrow: cutNarrow,
  wide: cutWide,
};

function cutProduct(operands: Operands, options: MatmulOptions, ends: Ends): CutProduct {
  const { gpu } = operands.a;
  const product = productOf(operands, options);
  const type = operands.a.dtype === "f16" || operands.b.dtype === "f16" ? "f16" : "f32";
  const sized = { size: [product.M, product.N, product.K], type } as const;
  const matrix = gpu.variant === "matrix" && !options.cut ? cutOnMatrices(operands, product, options) : null;
  return matrix ?? CUT[gpu.baseVariant](gpu, sized, options, ends);
}

/** Null if the wide kernel is better, or the only one: f32 operands stay f32. */
function cutOnMatrices(operands: Operands, product: Product, options: MatmulOptions): CutProduct | null {
  const cut = matmulMatrixCut(operands, product);
  if (cut === null) return null;
  const launch = (tensors: MatmulTensors, target: Tensor) => {
    const { accumulate = false } = options;
    runMatmulMatrix({ ...tensors, c: target }, product, cut, {
      accumulate,
      cost: sizes(tensors, options).cost,
    });
  };
  return { slices: cut.slices, choice: cut.choice, launch };
}

function choiceOf(
  kernel: string,
  { size: [M, N, K], type }: SizedProduct,
  { transposeA = false, transposeB = false }: MatmulOptions,
  { summedLater }: Ends,
): string {
  const form = `${transposeA ? " Aᵀ" : ""}${transposeB ? " Bᵀ" : ""}${summedLater ? " summed later" : ""}`;
  return `${kernel} M=${M} N=${N} K=${K}${form}${typeText(type)}`;
}

function sizes({ a, b, c, bias }: MatmulTensors, { transposeA = false, accumulate = false }: MatmulOptions) {
  const [M, N] = [c.shape.at(-2)!, c.shape.at(-1)!];
  const K = a.shape[transposeA ? 0 : 1]!;
  const bytes = bytesOf({ a, b, bias }) + (accumulate ? 2 : 1) * M * N * ELEMENT_BYTES[c.dtype];
  return { M, N, K, cost: { flops: 2 * M * N * K, bytes } };
}

/** `// @spec` values: the types of the matrices in memory, which may differ. */
function stored(a: Tensor, b: Tensor, c: Tensor) {
  return {
    StoredA: floatType("matmul", { a }),
    StoredB: floatType("matmul", { b }),
    StoredC: floatType("matmul", { c }),
  };
}

function cutNarrow(gpu: Gpu, sized: SizedProduct, options: MatmulOptions, ends: Ends): CutProduct {
  const { size } = sized;
  const [M, N, K] = size;
  const { transposeA = false, transposeB = false, narrowCut } = options;
  const choice = choiceOf("matmul/tiled-narrow", sized, options, ends);
  const termByTerm = transposeA && !transposeB;
  const cuts = narrowMatmulCuts(size, { sliceable: termByTerm && !ends.biased });
  const cut = narrowCut ?? gpu.tuning.choose(choice, cuts, M * N);
  const slice = Math.ceil(K / cut.slices / cut.STEP) * cut.STEP;
  const slices = Math.ceil(K / slice);
  const launch = (tensors: MatmulTensors, target: Tensor): void =>
    runNarrow(tensors, target, options, { ...cut, slices, slice, choice, neighbors: termByTerm });
  return { slices, choice, launch };
}

/** @param target c, or its partial sums */
function runNarrow(
  tensors: MatmulTensors,
  target: Tensor,
  options: MatmulOptions,
  how: NarrowMatmulCut & { readonly slice: number; readonly choice: string; readonly neighbors: boolean },
): void {
  const { a, b, bias } = tensors;
  const { transposeA = false, transposeB = false, accumulate = false } = options;
  const { transposed, slices, slice, choice, neighbors, ...tile } = how;
  const { M, N, K, cost } = sizes(tensors, options);
  // A workgroup is one subgroup, or part of a wider one.
  const LANES = Math.min(8, target.gpu.adapter.subgroupMinSize);
  const [left, right] = transposed ? [b, a] : [a, b];
  const spec = { ...tile, ...stored(left, right, target), LANES, ROWS: Math.min(tile.ROWS, LANES) };
  const [aRow, aTerm] = transposeA ? [1, M] : [K, 1];
  const [bTerm, bColumn] = transposeB ? [1, K] : [N, 1];
  const [rows, columns] = transposed ? [N, M] : [M, N];
  const strides = transposed
    ? { a_row: bColumn, a_term: bTerm, b_term: aTerm, b_column: aRow, c_row: 1, c_column: N }
    : { a_row: aRow, a_term: aTerm, b_term: bTerm, b_column: bColumn, c_row: N, c_column: 1 };
  target.gpu.run(TILED_NARROW, {
    buffers: { a: left, b: right, bias: bias ?? b, c: target },
    overrides: { BIAS: bias !== undefined, ACCUMULATE: accumulate && slices === 1 },
    params: {
      rows,
      columns,
      depth: K,
      slice,
      ...strides,
      bias_row: transposed,
      bias_column: 1 - transposed,
      neighbors: Number(neighbors),
    },
    spec,
    workgroups: [
      Math.ceil(columns / (spec.COLUMNS * LANES)),
      Math.ceil(rows / (spec.GROUPS * spec.ROWS)),
      slices,
    ],
    cost: { flops: cost.flops, bytes: cost.bytes + 4 * (slices - 1) * M * N },
    choice,
  });
}

function cutWide(gpu: Gpu, sized: SizedProduct, options: MatmulOptions, ends: Ends): CutProduct {
  const { size } = sized;
  const [M, N, K] = size;
  const { summedLater } = ends;
  const { cut } = options;
  const choice = choiceOf("matmul/tiled", sized, options, ends);
  const { slices: most, ...tile } = cut
    ? { ...cut.tile, slices: cut.slices }
    : gpu.tuning.choose(choice, matmulCuts(size, { summedLater }), M * N);
  // Slices consist of whole steps of the kernel; all but the last have the same length.
  const steps = Math.ceil(K / most / tile.TILE_K);
  const slices = Math.ceil(K / (steps * tile.TILE_K));
  const launch = (tensors: MatmulTensors, target: Tensor): void =>
    runTiled(tensors, target, options, { tile, slices, steps, choice });
  return { slices, choice, launch };
}

/** @param target c, or its partial sums */
function runTiled(
  tensors: MatmulTensors,
  target: Tensor,
  options: MatmulOptions,
  { tile, slices, steps, choice }: MatmulCut & { readonly steps: number; readonly choice: string },
): void {
  const { a, b, bias } = tensors;
  const { transposeA = false, transposeB = false, accumulate = false } = options;
  const { M, N, K, cost } = sizes(tensors, options);
  // A divisor of K, so that the kernel need not test individual terms.
  const UNROLL = K % 4 === 0 ? 4 : K % 2 === 0 ? 2 : 1;
  const packedA = (transposeA ? M : K) % 4 === 0;
  const packedB = (transposeB ? K : N) % 4 === 0;
  target.gpu.run(TILED, {
    buffers: { a, b, bias: bias ?? b, c: target },
    overrides: {
      TRANSPOSE_A: transposeA,
      TRANSPOSE_B: transposeB,
      PACKED_A: packedA,
      PACKED_B: packedB,
      BIAS: bias !== undefined,
      ACCUMULATE: accumulate && slices === 1,
    },
    params: { rows: M, columns: N, depth: K, steps },
    spec: {
      ...tile,
      UNROLL,
      PackA: packedA ? "vec4f" : "f32",
      PackB: packedB ? "vec4f" : "f32",
      ...stored(a, b, target),
      StoredA: storedType(floatType("matmul", { a }), packedA ? 4 : 1),
      StoredB: storedType(floatType("matmul", { b }), packedB ? 4 : 1),
    },
    workgroups: [Math.ceil(N / tile.TILE_N), Math.ceil(M / tile.TILE_M), slices],
    cost: { flops: cost.flops, bytes: cost.bytes + 4 * (slices - 1) * M * N },
    choice,
  });
}
