// Cases of the running statistics of ghost batch norm, shared by tests and benchmarks.

import type { RunningRule } from "../reference/ghost-batch-norm.ts";
import type { Case } from "./paper.ts";

export interface RunningStatisticsCase extends Case {
  readonly N: number;
  readonly C: number;
  readonly HW: number;
  readonly ghostSize: number;
  readonly ghosts: number;
  readonly rule: RunningRule;
  readonly momentum: number;
  /** Averages standard deviations in place of variances. */
  readonly averageDeviations?: boolean;
}

const RULES: RunningRule[] = ["sequential", "mean", "full", "composer", "paper-literal"];

const SIZES = [
  { N: 2, C: 1, HW: 1, ghostSize: 2, ghosts: 1, momentum: 0.1 },
  { N: 22, C: 5, HW: 1, ghostSize: 7, ghosts: 3, momentum: 0.1 },
  { N: 22, C: 3, HW: 9, ghostSize: 8, ghosts: 3, momentum: 0.01 },
  { N: 128, C: 67, HW: 4, ghostSize: 4, ghosts: 32, momentum: 0.1 },
];

export const runningStatisticsCases: readonly RunningStatisticsCase[] = [
  ...SIZES.flatMap((size) => RULES.map((rule) => ({ ...size, rule }))),
  ...RULES.map((rule) => ({ ...SIZES[1], rule, averageDeviations: true })),
];
