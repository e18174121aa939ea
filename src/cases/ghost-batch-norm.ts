// Shapes of ghost batch norm, shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface GhostBatchNormCase extends Case {
  readonly N: number;
  readonly C: number;
  /** Height and width of an image; if omitted, x is [N, C], as after a linear layer. */
  readonly H?: number;
  readonly W?: number;
  /** Ghost g covers [g·ghostSize, (g + 1)·ghostSize), the last one runs to N. */
  readonly ghostSize: number;
  readonly ghosts: number;
  readonly eps: number;
  readonly relu?: boolean;
  /** A residual of x's shape is added before the ReLU. */
  readonly residual?: boolean;
  /** Mean of x, default 0. */
  readonly mean?: number;
  /** Standard deviation of x, default 1; 0 makes every channel constant. */
  readonly deviation?: number;
}

const eps = 1e-5; // PyTorch's default, used by the authors

/** [N, C] or [N, C, H, W]. */
export function ghostBatchNormShape({ N, C, H, W }: GhostBatchNormCase): number[] {
  return H === undefined || W === undefined ? [N, C] : [N, C, H, W];
}

export const ghostBatchNormCases: readonly GhostBatchNormCase[] = [
  // Dense: one channel, one ghost, ghosts of two, many ghosts, primes, channels beyond a workgroup.
  { N: 2, C: 1, ghostSize: 2, ghosts: 1, eps },
  { N: 16, C: 7, ghostSize: 4, ghosts: 4, eps },
  { N: 64, C: 33, ghostSize: 16, ghosts: 4, eps: 1e-3 },
  { N: 34, C: 5, ghostSize: 2, ghosts: 17, eps, relu: true },
  { N: 128, C: 131, ghostSize: 32, ghosts: 4, eps, relu: true },
  { N: 300, C: 9, ghostSize: 300, ghosts: 1, eps },
  { N: 97, C: 64, ghostSize: 97, ghosts: 1, eps, relu: true },
  // Dense, unequal: the last ghost longer (7, 7, 8), shorter (8, 8, 6; 31 of 27 and one of 11), twice as long less one.
  { N: 22, C: 6, ghostSize: 7, ghosts: 3, eps, relu: true },
  { N: 22, C: 37, ghostSize: 8, ghosts: 3, eps },
  { N: 848, C: 3, ghostSize: 27, ghosts: 32, eps },
  { N: 31, C: 16, ghostSize: 8, ghosts: 3, eps, relu: true, residual: true },
  // Images: 1×1, odd and prime sizes, one image in a ghost, with relu and residual in all combinations.
  { N: 4, C: 3, H: 1, W: 1, ghostSize: 2, ghosts: 2, eps },
  { N: 1, C: 2, H: 3, W: 3, ghostSize: 1, ghosts: 1, eps },
  { N: 3, C: 1, H: 5, W: 3, ghostSize: 1, ghosts: 3, eps, relu: true },
  { N: 12, C: 5, H: 4, W: 4, ghostSize: 4, ghosts: 3, eps },
  { N: 12, C: 5, H: 4, W: 4, ghostSize: 4, ghosts: 3, eps, relu: true },
  { N: 12, C: 5, H: 4, W: 4, ghostSize: 4, ghosts: 3, eps, residual: true },
  { N: 12, C: 5, H: 4, W: 4, ghostSize: 4, ghosts: 3, eps, relu: true, residual: true },
  { N: 8, C: 16, H: 8, W: 8, ghostSize: 8, ghosts: 1, eps, relu: true },
  { N: 32, C: 3, H: 5, W: 7, ghostSize: 16, ghosts: 2, eps },
  { N: 22, C: 4, H: 6, W: 6, ghostSize: 7, ghosts: 3, eps, relu: true, residual: true },
  { N: 22, C: 3, H: 13, W: 11, ghostSize: 8, ghosts: 3, eps, relu: true },
  { N: 6, C: 65, H: 2, W: 2, ghostSize: 2, ghosts: 3, eps, relu: true },
  { N: 8, C: 16, H: 32, W: 32, ghostSize: 4, ghosts: 2, eps, relu: true },
  { N: 40, C: 8, H: 15, W: 15, ghostSize: 40, ghosts: 1, eps, residual: true },
  // Statistics that are hard in float32: |mean| ≫ deviation, tiny and huge scales, a constant channel, a large eps.
  { N: 64, C: 4, ghostSize: 32, ghosts: 2, eps, mean: 1000, deviation: 0.1 },
  { N: 16, C: 3, H: 9, W: 9, ghostSize: 8, ghosts: 2, eps, mean: -300, deviation: 1 },
  { N: 32, C: 5, ghostSize: 16, ghosts: 2, eps, deviation: 1e-3 },
  { N: 32, C: 5, ghostSize: 16, ghosts: 2, eps, deviation: 1e4 },
  { N: 16, C: 2, ghostSize: 8, ghosts: 2, eps, mean: 0.5, deviation: 0 },
  { N: 16, C: 2, H: 3, W: 2, ghostSize: 8, ghosts: 2, eps: 0.1, relu: true },
  // The paper's layers at batch 4096 in ghosts of 128.
  { N: 4096, C: 512, ghostSize: 128, ghosts: 32, eps, relu: true, network: "f1", paper: true },
  { N: 128, C: 512, ghostSize: 128, ghosts: 1, eps, relu: true, network: "f1", paper: true },
  {
    N: 512,
    C: 16,
    H: 32,
    W: 32,
    ghostSize: 128,
    ghosts: 4,
    eps,
    relu: true,
    network: "resnet44",
    paper: true,
  },
  {
    N: 512,
    C: 32,
    H: 16,
    W: 16,
    ghostSize: 128,
    ghosts: 4,
    eps,
    relu: true,
    network: "resnet44",
    paper: true,
  },
  { N: 512, C: 64, H: 8, W: 8, ghostSize: 128, ghosts: 4, eps, relu: true, network: "resnet44", paper: true },
  {
    ...{ N: 512, C: 16, H: 32, W: 32, ghostSize: 128, ghosts: 4, eps },
    relu: true,
    residual: true,
    network: "resnet44",
    paper: true,
  },
  {
    N: 256,
    C: 64,
    H: 32,
    W: 32,
    ghostSize: 128,
    ghosts: 2,
    eps,
    relu: true,
    network: "wresnet16-4",
    paper: true,
  },
];
