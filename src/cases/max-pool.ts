// Shapes of max-pool, shared by tests and benchmarks.

import type { PoolSize } from "../reference/pool-size.ts";
import type { Case } from "./paper.ts";

export interface MaxPoolCase extends PoolSize, Case {
  /** Values are small whole numbers, so that many tie. */
  readonly ties?: boolean;
}

export const maxPoolCases: readonly MaxPoolCase[] = [
  { N: 1, C: 1, H: 1, W: 1, kernel: 1, stride: 1, padding: 0 },
  { N: 1, C: 1, H: 2, W: 2, kernel: 2, stride: 2, padding: 0 },
  { N: 2, C: 3, H: 8, W: 8, kernel: 2, stride: 2, padding: 0 },
  { N: 2, C: 3, H: 7, W: 5, kernel: 2, stride: 2, padding: 0 },
  { N: 2, C: 5, H: 9, W: 9, kernel: 3, stride: 2, padding: 0 },
  { N: 3, C: 7, H: 32, W: 32, kernel: 3, stride: 2, padding: 0 },
  { N: 3, C: 7, H: 15, W: 15, kernel: 3, stride: 2, padding: 0 },
  { N: 1, C: 4, H: 15, W: 13, kernel: 3, stride: 2, padding: 1 },
  { N: 2, C: 2, H: 6, W: 7, kernel: 3, stride: 1, padding: 1 },
  { N: 1, C: 3, H: 11, W: 10, kernel: 2, stride: 3, padding: 1 },
  { N: 2, C: 3, H: 9, W: 9, kernel: 3, stride: 2, padding: 0, ties: true },
  { N: 2, C: 3, H: 10, W: 7, kernel: 3, stride: 2, padding: 1, ties: true },
  { N: 2, C: 2, H: 8, W: 8, kernel: 2, stride: 2, padding: 0, ties: true },
  { N: 128, C: 64, H: 32, W: 32, kernel: 3, stride: 2, padding: 0, network: "c1", paper: true },
  { N: 128, C: 64, H: 15, W: 15, kernel: 3, stride: 2, padding: 0, network: "c1", paper: true },
  { N: 128, C: 64, H: 32, W: 32, kernel: 2, stride: 2, padding: 0, network: "vgg", paper: true },
  { N: 256, C: 64, H: 55, W: 55, kernel: 3, stride: 2, padding: 0, network: "alexnet", paper: true },
];
