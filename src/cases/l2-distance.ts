// Lengths of l2-distance, shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface L2DistanceCase extends Case {
  readonly size: number;
  /** How many values count, from the first; all by default. */
  readonly count?: number;
}

export const l2DistanceCases: readonly L2DistanceCase[] = [
  { size: 1 },
  { size: 3 },
  { size: 64 },
  { size: 7731 },
  { size: 4099, count: 1 },
  { size: 4099, count: 433 },
  { size: 100_003 },
  { size: 661_338, network: "resnet44", paper: true },
  { size: 661_338, count: 432, network: "resnet44", paper: true },
];
