// Cases of dropout, shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface DropoutCase extends Case {
  readonly shape: readonly number[];
  /** Probability that a value is dropped. */
  readonly p: number;
}

export const dropoutCases: readonly DropoutCase[] = [
  { shape: [1], p: 0.5 },
  { shape: [7, 5], p: 0 },
  { shape: [33, 65], p: 0.5 },
  { shape: [2, 3, 5, 7], p: 0.3 },
  { shape: [1021, 13], p: 0.9 },
  { shape: [128, 384], p: 0.5, network: "c1", paper: true },
  { shape: [128, 64, 32, 32], p: 0.3, network: "vgg", paper: true },
  { shape: [256, 4096], p: 0.5, network: "alexnet", paper: true },
];
