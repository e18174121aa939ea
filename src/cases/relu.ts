// Sizes of relu, shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface ReluCase extends Case {
  readonly shape: readonly number[];
}

export const reluCases: readonly ReluCase[] = [
  { shape: [1] },
  { shape: [3] },
  { shape: [5, 7, 3] },
  { shape: [64] },
  { shape: [257] },
  { shape: [4, 16, 8, 8] },
  { shape: [1021, 13] },
  // More than 65,535 workgroups of 64 lanes: one axis of a dispatch cannot hold them.
  { shape: [65_536 * 64 + 5] },
  { shape: [128, 512], network: "f1", paper: true },
  { shape: [128, 16, 32, 32], network: "resnet44", paper: true },
  { shape: [128, 64, 32, 32], network: "wresnet16-4", paper: true },
];
