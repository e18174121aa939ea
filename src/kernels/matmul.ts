/** Launcher of the matrix product and the transposes that linear layers and their gradients need. */
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import { dims } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { launchSumRows } from "./sum-rows.ts";

const TILED = defineKernel({
  file: "matmul/tiled.wgsl",
  bindings: ["a", "b", "bias", "c"],
  overrides: ["TRANSPOSE_A", "TRANSPOSE_B", "PACKED_A", "PACKED_B", "BIAS", "ACCUMULATE"],
  params: ["rows", "columns", "depth", "steps"],
  spec: ["PackA", "PackB", "TILE_M", "TILE_N", "TILE_K", "MICRO_M", "MICRO_N", "UNROLL"],
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
  spec: ["LANES"],
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

/** Rows and columns of C that a workgroup and a thread compute, and terms that are in workgroup memory at a time. */
export interface MatmulTile {
  readonly TILE_M: number;
  readonly TILE_N: number;
  readonly TILE_K: number;
  readonly MICRO_M: number;
  readonly MICRO_N: number;
}

export interface MatmulCut {
  readonly tile: MatmulTile;
  /** Stretches of K that are summed by themselves, at most. */
  readonly slices: number;
}

/**
 * c[m, n] = Σ_k op(a)[m, k] · op(b)[k, n]  (+ bias[n])  (+ c[m, n]), summed in a fixed order.
 *
 * For y = x·Wᵀ + bias of a linear layer: forward transposes b, dx neither, dW a.
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

function sizes({ a, b, c, bias }: MatmulTensors, { transposeA = false, accumulate = false }: MatmulOptions) {
  const [M, N] = dims("matmul: c", c.shape, 2);
  const K = a.shape[transposeA ? 0 : 1]!;
  const bytes = 4 * (a.size + b.size + (bias?.size ?? 0) + (accumulate ? 2 : 1) * c.size);
  return { M, N, K, cost: { flops: 2 * M * N * K, bytes } };
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
  const run = { overrides: { BIAS: bias !== undefined, ACCUMULATE: accumulate }, spec: { LANES }, cost };
  if (upright[0] * upright[1] <= onItsSide[0] * onItsSide[1]) {
    c.gpu.run(TILED_NARROW, {
      ...run,
      buffers: { a, b, bias: bias ?? b, c },
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
  const { a, b, bias, c } = tensors;
  const { transposeA = false, transposeB = false, accumulate = false } = options;
  const { M, N, K, cost } = sizes(tensors, options);
  const choice = `matmul/tiled M=${M} N=${N} K=${K}${transposeA ? " Aᵀ" : ""}${transposeB ? " Bᵀ" : ""}`;
  const cuts = matmulCuts(M, N, K);
  const { slices: wanted, ...tile } = options.cut
    ? { ...options.cut.tile, slices: options.cut.slices }
    : c.gpu.tuning.choose(choice, cuts, M * N);
  const steps = Math.ceil(K / wanted / tile.TILE_K);
  const slices = Math.ceil(K / (steps * tile.TILE_K));
  // A divisor of K, so that the kernel need not test single terms.
  const UNROLL = K % 4 === 0 ? 4 : K % 2 === 0 ? 2 : 1;
  const packedA = (transposeA ? M : K) % 4 === 0;
  const packedB = (transposeB ? K : N) % 4 === 0;
  const partial = slices > 1 ? empty(c.gpu, [slices, M, N], "f32", "matmul partial sums") : c;
  c.gpu.run(TILED, {
    buffers: { a, b, bias: bias ?? b, c: partial },
    overrides: {
      TRANSPOSE_A: transposeA,
      TRANSPOSE_B: transposeB,
      PACKED_A: packedA,
      PACKED_B: packedB,
      BIAS: bias !== undefined,
      ACCUMULATE: accumulate && slices === 1,
    },
    params: { rows: M, columns: N, depth: K, steps },
    spec: { ...tile, UNROLL, PackA: packedA ? "vec4f" : "f32", PackB: packedB ? "vec4f" : "f32" },
    workgroups: [Math.ceil(N / tile.TILE_N), Math.ceil(M / tile.TILE_M), slices],
    cost: { flops: cost.flops, bytes: cost.bytes + 4 * (slices - 1) * c.size },
    choice,
  });
  if (slices > 1) launchSumRows({ x: partial, y: c }, { accumulate, choice });
}

/**
 * Tiles, the largest first. An 8 × 8 micro-tile does the most arithmetic per read of workgroup memory; 4 × 4 is for
 * products that would leave most of a GPU idle otherwise.
 */
export const MATMUL_TILES: readonly MatmulTile[] = [
  { TILE_M: 128, TILE_N: 128, TILE_K: 16, MICRO_M: 8, MICRO_N: 8 },
  { TILE_M: 64, TILE_N: 64, TILE_K: 16, MICRO_M: 8, MICRO_N: 8 },
  { TILE_M: 32, TILE_N: 32, TILE_K: 32, MICRO_M: 4, MICRO_N: 4 },
];

// Threads that keep a large GPU busy: two warps of 32 for each of the 4 schedulers of 128 multiprocessors (H100: 132).
const BUSY_THREADS = 32768;

// How much larger than C its tiles may be before smaller tiles are better.
const MOST_WASTE = 1.5;

// Terms of a slice, at the least. Partial sums cost 8 bytes each to write and read: at 256 terms that is 64 operations
// a byte, three times what an H100 needs to be bound by arithmetic. Small products wait for memory anyway.
const LEAST_TERMS = 256;
const LEAST_TERMS_OF_SMALL = 128;

/** All that are worth measuring, the default first: each tile, cut along K as far as it takes to keep a GPU busy, and half and twice as far. */
function matmulCuts(M: number, N: number, K: number): [FlatCut, ...FlatCut[]] {
  const flat = ({ tile, slices }: MatmulCut): FlatCut => ({ ...tile, slices });
  const best = chooseCut(M, N, K);
  const most = Math.max(1, Math.floor(K / LEAST_TERMS_OF_SMALL));
  const others = MATMUL_TILES.flatMap((tile) => {
    const busy = Math.ceil((BUSY_THREADS * tile.MICRO_M * tile.MICRO_N) / (M * N));
    const slices = [busy, Math.ceil(busy / 2), 2 * busy].map((count) => Math.max(1, Math.min(count, most)));
    return [...new Set(slices)].map((count) => flat({ tile, slices: count }));
  });
  const first = JSON.stringify(flat(best));
  return [flat(best), ...others.filter((cut) => JSON.stringify(cut) !== first)];
}

type FlatCut = MatmulTile & { readonly slices: number };

/** The largest tile that keeps a large GPU busy, cut along K if need be; else the smallest, cut as far as it pays. */
function chooseCut(M: number, N: number, K: number): MatmulCut {
  const slicesFor = ({ MICRO_M, MICRO_N }: MatmulTile) =>
    Math.ceil((BUSY_THREADS * MICRO_M * MICRO_N) / (M * N));
  for (const tile of MATMUL_TILES) {
    const { TILE_M, TILE_N } = tile;
    const tiled = Math.ceil(M / TILE_M) * TILE_M * Math.ceil(N / TILE_N) * TILE_N;
    const slices = slicesFor(tile);
    if (tiled <= MOST_WASTE * M * N && slices <= Math.max(1, K / LEAST_TERMS)) return { tile, slices };
  }
  const smallest = MATMUL_TILES.at(-1)!;
  return {
    tile: smallest,
    slices: Math.max(1, Math.min(slicesFor(smallest), Math.floor(K / LEAST_TERMS_OF_SMALL))),
  };
}
