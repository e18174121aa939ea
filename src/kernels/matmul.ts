/** Launcher of the matrix product and the transposes that linear layers and their gradients need. */
import type { Gpu } from "../gpu/gpu.ts";
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import { ELEMENT_BYTES, empty, type Tensor } from "../tensor/tensor.ts";
import { bytesOf, floatType, storedType } from "./element.ts";
import { type MatmulCut, matmulCuts } from "./matmul-cuts.ts";
import { launchSumRows } from "./sum-rows.ts";

const TILED = defineKernel({
  file: "matmul/tiled.wgsl",
  bindings: ["a", "b", "bias", "c"],
  overrides: ["TRANSPOSE_A", "TRANSPOSE_B", "PACKED_A", "PACKED_B", "BIAS", "ACCUMULATE"],
  params: ["rows", "columns", "depth", "steps"],
  spec: [
    "PackA",
    "PackB",
    "StoredA",
    "StoredB",
    "StoredC",
    "TILE_M",
    "TILE_N",
    "TILE_K",
    "MICRO_M",
    "MICRO_N",
    "TEAMS",
    "UNROLL",
  ],
});

const TILED_NARROW = defineKernel({
  file: "matmul/tiled-narrow.wgsl",
  bindings: ["a", "b", "bias", "c"],
  overrides: ["BIAS", "ACCUMULATE"],
  params: [
    "rows",
    "columns",
    "depth",
    "a_row",
    "a_term",
    "b_term",
    "b_column",
    "c_row",
    "c_column",
    "bias_row",
    "bias_column",
  ],
  spec: ["StoredA", "StoredB", "StoredC", "LANES"],
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
  /** Add to what `c` holds. */
  readonly accumulate?: boolean;
  /** On a wide GPU: how the work is cut. Chosen by the shape unless a test or a benchmark gives it. */
  readonly cut?: MatmulCut;
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
  LAUNCHERS[tensors.c.gpu.variant](tensors, options);
}

const LAUNCHERS: ByVariant<(tensors: MatmulTensors, options: MatmulOptions) => void> = {
  narrow: launchNarrow,
  wide: launchWide,
};

/**
 * Slices of K that a product is cut into where its partial sums wait to be added up with others, as those of weight gradients do. 1: there
 * are none.
 *
 * @param size M, N, K
 */
export function matmulSlices(
  gpu: Gpu,
  size: readonly [number, number, number],
  options: MatmulOptions = {},
): number {
  return gpu.variant === "narrow" ? 1 : chosen(gpu, size, options, { summedLater: true }).slices;
}

/**
 * The partial sums of a product, one for each slice of K: `matmulSlices` of them.
 *
 * @param t.c [slices, M, N], or [M, N] for one slice; written, or added to where there is one slice
 */
export function launchMatmulSlices(t: Omit<MatmulTensors, "bias">, options: MatmulOptions = {}): void {
  if (t.c.gpu.variant === "narrow") launchNarrow(t, options);
  else {
    const { M, N, K } = sizes(t, options);
    runTiled(t, t.c, options, chosen(t.c.gpu, [M, N, K], options, { summedLater: true }));
  }
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

// matmul/tiled-narrow.wgsl: ROWS, and columns of a lane.
const NARROW_ROWS = 16;
const NARROW_COLUMNS = 4;

function launchNarrow(tensors: MatmulTensors, options: MatmulOptions): void {
  const { a, b, bias, c } = tensors;
  const { transposeA = false, transposeB = false, accumulate = false } = options;
  const { M, N, K, cost } = sizes(tensors, options);
  // A workgroup is one subgroup; of a wider one it is part.
  const LANES = Math.min(8, c.gpu.adapter.subgroupMinSize);
  const grid = (rows: number, columns: number): [number, number] => [
    Math.ceil(columns / (NARROW_COLUMNS * LANES)),
    Math.ceil(rows / NARROW_ROWS),
  ];
  const [aRow, aTerm] = transposeA ? [1, M] : [K, 1];
  const [bTerm, bColumn] = transposeB ? [1, K] : [N, 1];

  const upright = grid(M, N);
  const onItsSide = grid(N, M);
  const run = { overrides: { BIAS: bias !== undefined, ACCUMULATE: accumulate }, cost };
  if (upright[0] * upright[1] <= onItsSide[0] * onItsSide[1]) {
    c.gpu.run(TILED_NARROW, {
      ...run,
      buffers: { a, b, bias: bias ?? b, c },
      spec: { ...stored(a, b, c), LANES },
      params: {
        rows: M,
        columns: N,
        depth: K,
        a_row: aRow,
        a_term: aTerm,
        b_term: bTerm,
        b_column: bColumn,
        c_row: N,
        c_column: 1,
        bias_row: 0,
        bias_column: 1,
      },
      workgroups: upright,
    });
  } else {
    // Cᵀ = op(B)ᵀ · op(A)ᵀ: fewer tiles where C has few columns, as in the last layer of a classifier.
    c.gpu.run(TILED_NARROW, {
      ...run,
      buffers: { a: b, b: a, bias: bias ?? b, c },
      spec: { ...stored(b, a, c), LANES },
      params: {
        rows: N,
        columns: M,
        depth: K,
        a_row: bColumn,
        a_term: bTerm,
        b_term: aTerm,
        b_column: aRow,
        c_row: 1,
        c_column: N,
        bias_row: 1,
        bias_column: 0,
      },
      workgroups: onItsSide,
    });
  }
}

function launchWide(tensors: MatmulTensors, options: MatmulOptions): void {
  const { c } = tensors;
  const { M, N, K } = sizes(tensors, options);
  const cut = chosen(c.gpu, [M, N, K], options, { summedLater: false });
  const { slices, choice } = cut;
  const target = slices > 1 ? empty(c.gpu, [slices, M, N], "f32", "matmul partial sums") : c;
  runTiled(tensors, target, options, cut);
  if (slices > 1) launchSumRows({ x: target, y: c }, { accumulate: options.accumulate ?? false, choice });
}

/** A cut whose slices are whole steps of the kernel, all but the last of the same length. */
interface SteppedCut extends MatmulCut {
  /** Steps of TILE_K terms in a slice. */
  readonly steps: number;
}

function inSteps(K: number, { tile, slices }: MatmulCut): SteppedCut {
  const steps = Math.ceil(K / slices / tile.TILE_K);
  return { tile, steps, slices: Math.ceil(K / (steps * tile.TILE_K)) };
}

/** The cut that is chosen for a product, and the name of the choice. */
function chosen(
  gpu: Gpu,
  size: readonly [number, number, number],
  { transposeA = false, transposeB = false, cut }: MatmulOptions,
  { summedLater }: { readonly summedLater: boolean },
) {
  const [M, N, K] = size;
  const form = `${transposeA ? " Aᵀ" : ""}${transposeB ? " Bᵀ" : ""}${summedLater ? " summed later" : ""}`;
  const choice = `matmul/tiled M=${M} N=${N} K=${K}${form}`;
  const { slices, ...tile } = cut
    ? { ...cut.tile, slices: cut.slices }
    : gpu.tuning.choose(choice, matmulCuts(size, { summedLater }), M * N);
  return { ...inSteps(K, { tile, slices }), choice };
}

/** @param target c, or its partial sums */
function runTiled(
  tensors: MatmulTensors,
  target: Tensor,
  options: MatmulOptions,
  { tile, slices, steps, choice }: SteppedCut & { readonly choice: string },
): void {
  const { a, b, bias } = tensors;
  const { transposeA = false, transposeB = false, accumulate = false } = options;
  const { M, N, K, cost } = sizes(tensors, options);
  // A divisor of K, so that the kernel need not test single terms.
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
