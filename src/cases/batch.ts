// Cases of batch (gather, pad, crop, flip, normalise), shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface BatchCase extends Case {
  /** Images in the data set. */
  readonly count: number;
  /** Images in the batch. */
  readonly N: number;
  readonly C: number;
  readonly H: number;
  readonly W: number;
  /** Padding of the random crop, in pixels; 0: no crop. */
  readonly padding: number;
  /** Value of the padded pixels. */
  readonly padValue: number;
  /** Random mirror. */
  readonly flip?: boolean;
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
}

/** From the authors' code: MNIST, and ImageNet's constants, which it also uses for CIFAR. */
const mnist = { mean: [0.5], deviation: [0.5] };
const rgb = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
/** A blue channel that never varies. */
const noBlue = { mean: [0.485, 0.456, 0.3], deviation: [0.229, 0.224, 0] };

export const batchCases: readonly BatchCase[] = [
  { count: 3, N: 1, C: 1, H: 1, W: 1, padding: 0, padValue: 0, ...mnist },
  { count: 7, N: 5, C: 1, H: 3, W: 5, padding: 0, padValue: 0, ...mnist },
  { count: 9, N: 22, C: 1, H: 5, W: 7, padding: 2, padValue: 0, flip: true, ...mnist },
  { count: 6, N: 13, C: 3, H: 7, W: 5, padding: 4, padValue: 127, flip: true, ...rgb },
  { count: 6, N: 4, C: 3, H: 6, W: 6, padding: 1, padValue: 255, ...rgb },
  { count: 6, N: 4, C: 3, H: 6, W: 6, padding: 0, padValue: 0, flip: true, ...rgb },
  { count: 6, N: 5, C: 3, H: 4, W: 8, padding: 0, padValue: 0, ...noBlue },
  { count: 6, N: 5, C: 3, H: 5, W: 6, padding: 2, padValue: 127, flip: true, ...noBlue },
  { count: 40, N: 33, C: 1, H: 28, W: 28, padding: 2, padValue: 0, flip: true, ...mnist },
  { count: 20, N: 17, C: 3, H: 32, W: 32, padding: 4, padValue: 127, flip: true, ...rgb },
  {
    count: 1000,
    N: 128,
    C: 1,
    H: 28,
    W: 28,
    padding: 2,
    padValue: 0,
    flip: true,
    ...mnist,
    network: "f1",
    paper: true,
  },
  {
    count: 1000,
    N: 512,
    C: 3,
    H: 32,
    W: 32,
    padding: 4,
    padValue: 127,
    flip: true,
    ...rgb,
    network: "resnet44",
    paper: true,
  },
];
