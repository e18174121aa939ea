// Shapes of matmul, shared by tests and benchmarks. Every shape comes with the transposes that a linear layer needs.

import type { Case } from "./paper.ts";

export interface MatmulCase extends Case {
  readonly rows: number;
  /** Terms in each sum. */
  readonly inner: number;
  readonly columns: number;
  readonly transposeA?: boolean;
  readonly transposeB?: boolean;
  /** A bias [columns] is added. */
  readonly bias?: boolean;
}

/** Forward of a linear layer (x · weightᵀ + bias), its input gradient (dy · weight), its weight gradient (dyᵀ · x). */
const USES = [{ transposeB: true, bias: true }, {}, { transposeA: true }];

/** rows, inner, columns: below, at and beyond tiles of 8, 16, 32 and 64; vectors; long sums. */
const SHAPES: [number, number, number][] = [
  [1, 1, 1],
  [1, 5, 3],
  [2, 1, 2],
  [4, 4, 4],
  [7, 64, 10],
  [16, 16, 16],
  [31, 3, 1],
  [1, 257, 64],
  [64, 1, 65],
  [33, 65, 17],
  [64, 64, 64],
  [65, 127, 63],
  [32, 784, 128],
  [130, 37, 129],
  [10, 1000, 12],
  [128, 128, 10],
  [5, 4099, 3],
];

/** rows, inner, columns of the paper's linear layers at batch 128 (ImageNet: 256). */
const PAPER_SHAPES: [string, number, number, number][] = [
  ["f1", 128, 784, 512],
  ["f1", 128, 512, 512],
  ["f1", 128, 512, 10],
  ["f1", 4096, 512, 512],
  ["c1", 128, 3136, 384],
  ["c1", 128, 384, 192],
  ["resnet44", 128, 64, 10],
  ["wresnet16-4", 128, 256, 100],
  ["alexnet", 256, 9216, 4096],
  ["alexnet", 256, 4096, 4096],
  ["alexnet", 256, 4096, 1000],
];

export const matmulCases: readonly MatmulCase[] = [
  ...SHAPES.flatMap(([rows, inner, columns]) => USES.map((use) => ({ rows, inner, columns, ...use }))),
  { rows: 12, inner: 9, columns: 20, transposeA: true, transposeB: true },
  { rows: 33, inner: 20, columns: 18, bias: true },
  ...PAPER_SHAPES.flatMap(([network, rows, inner, columns]) =>
    USES.map((use) => ({ rows, inner, columns, ...use, network, paper: true })),
  ),
];
