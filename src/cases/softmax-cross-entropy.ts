// Cases of softmax cross-entropy, shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface SoftmaxCrossEntropyCase extends Case {
  readonly N: number;
  readonly classes: number;
  /** Standard deviation of the logits, default 1. */
  readonly deviation?: number;
  /** Mean of the logits, default 0. */
  readonly mean?: number;
  /** Logits are small whole numbers, so that many tie. */
  readonly ties?: boolean;
  /** Weights for the mean of ghost means, with ghosts as in ghost batch norm; by default every sample weighs 1/N. */
  readonly ghostSize?: number;
  readonly ghosts?: number;
}

export const softmaxCrossEntropyCases: readonly SoftmaxCrossEntropyCase[] = [
  { N: 1, classes: 2 },
  { N: 2, classes: 1 },
  { N: 4, classes: 10, deviation: 3 },
  { N: 33, classes: 100, deviation: 3 },
  { N: 129, classes: 10, deviation: 3 },
  { N: 64, classes: 7, ties: true },
  { N: 31, classes: 3, ties: true },
  { N: 22, classes: 10, ghostSize: 7, ghosts: 3 },
  { N: 22, classes: 10, ghostSize: 8, ghosts: 3 },
  { N: 5, classes: 1000, deviation: 2 },
  // exp overflows float32 beyond 88, so the maximum must be subtracted first.
  { N: 17, classes: 11, deviation: 200 },
  { N: 17, classes: 11, mean: 1000 },
  { N: 17, classes: 11, mean: -1000 },
  { N: 7, classes: 33, ties: true },
  { N: 9, classes: 129, deviation: 200, ghostSize: 4, ghosts: 2 },
  { N: 3, classes: 1001, mean: -1000 },
  { N: 4096, classes: 10, network: "f1", paper: true },
  { N: 4096, classes: 100, network: "c3", paper: true },
  { N: 256, classes: 1000, network: "alexnet", paper: true },
];
