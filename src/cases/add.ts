// Sizes of add (the residual sum), shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface AddCase extends Case {
  readonly shape: readonly number[];
  /** relu of the sum. */
  readonly relu?: boolean;
}

const SHAPES = [[1], [3], [4, 6, 5], [64], [257], [2, 16, 8, 8], [1021, 13]];

export const addCases: readonly AddCase[] = [
  ...SHAPES.flatMap((shape) => [{ shape }, { shape, relu: true }]),
  // More than 65,535 workgroups of 64 lanes: one axis of a dispatch cannot hold them.
  { shape: [65_536 * 64 + 5] },
  { shape: [128, 16, 32, 32], relu: true, network: "resnet44", paper: true },
  { shape: [128, 64, 32, 32], relu: true, network: "wresnet16-4", paper: true },
];
