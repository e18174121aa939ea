// Shapes of avg-pool, shared by tests and benchmarks.

import type { PoolSize } from "../reference/pool-size.ts";
import type { Case } from "./paper.ts";

export interface AvgPoolCase extends PoolSize, Case {}

export const avgPoolCases: readonly AvgPoolCase[] = [
  { N: 1, C: 1, H: 1, W: 1, kernel: 1, stride: 1, padding: 0 },
  { N: 3, C: 64, H: 8, W: 8, kernel: 8, stride: 8, padding: 0 },
  { N: 2, C: 3, H: 8, W: 6, kernel: 2, stride: 2, padding: 0 },
  { N: 2, C: 5, H: 9, W: 7, kernel: 3, stride: 2, padding: 0 },
  { N: 1, C: 3, H: 7, W: 9, kernel: 3, stride: 2, padding: 1 },
  { N: 1, C: 2, H: 11, W: 10, kernel: 2, stride: 3, padding: 0 },
  { N: 128, C: 64, H: 8, W: 8, kernel: 8, stride: 8, padding: 0, network: "resnet44", paper: true },
];
