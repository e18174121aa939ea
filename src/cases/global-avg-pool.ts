// Shapes of global-avg-pool, shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface GlobalAvgPoolCase extends Case {
  readonly N: number;
  readonly C: number;
  readonly H: number;
  readonly W: number;
}

export const globalAvgPoolCases: readonly GlobalAvgPoolCase[] = [
  { N: 1, C: 1, H: 1, W: 1 },
  { N: 2, C: 3, H: 1, W: 5 },
  { N: 3, C: 64, H: 8, W: 8 },
  { N: 22, C: 5, H: 3, W: 2 },
  { N: 5, C: 67, H: 13, W: 11 },
  { N: 1, C: 2, H: 33, W: 31 },
  { N: 128, C: 64, H: 8, W: 8, network: "resnet44", paper: true },
  { N: 128, C: 256, H: 8, W: 8, network: "wresnet16-4", paper: true },
];
