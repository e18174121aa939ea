// Cases of the clip and of momentum SGD, shared by tests and benchmarks.

import type { SgdOptions } from "../reference/sgd.ts";
import type { Case } from "./paper.ts";

export interface SgdCase extends SgdOptions, Case {
  /** Length of the flat parameter vector. */
  readonly size: number;
  /** Standard deviation of the gradient. */
  readonly gradientDeviation: number;
}

const usual = { lr: 0.1, momentum: 0.9, weightDecay: 1e-4, clipNorm: 5 }; // the paper's, F1 and ResNet44

export const sgdCases: readonly SgdCase[] = [
  { size: 1, ...usual, gradientDeviation: 1 },
  { size: 4, ...usual, gradientDeviation: 100 },
  { size: 420, ...usual, gradientDeviation: 0.05 },
  { size: 4099, ...usual, gradientDeviation: 1 },
  { size: 4099, ...usual, clipNorm: null, gradientDeviation: 1 },
  { size: 420, ...usual, momentum: 0, gradientDeviation: 1 },
  { size: 420, ...usual, weightDecay: 0, gradientDeviation: 1 },
  { size: 100_003, ...usual, lr: 0.5657, gradientDeviation: 0.01 },
  { size: 661_338, ...usual, gradientDeviation: 0.01, network: "resnet44", paper: true },
  { size: 1_462_794, ...usual, gradientDeviation: 0.01, network: "f1", paper: true },
  {
    size: 61_110_184,
    ...usual,
    lr: 0.01,
    weightDecay: 5e-4,
    gradientDeviation: 0.001,
    network: "alexnet",
    paper: true,
  },
];
