// Shapes of linear, shared by tests and benchmarks.

import type { Case } from "./paper.ts";

export interface LinearCase extends Case {
  /** Rows of the batch. */
  readonly N: number;
  /** Input features. */
  readonly I: number;
  /** Output features. */
  readonly O: number;
  readonly bias?: boolean;
}

export const linearCases: readonly LinearCase[] = [
  { N: 1, I: 1, O: 1, bias: true },
  { N: 1, I: 5, O: 3, bias: true },
  { N: 4, I: 10, O: 7, bias: true },
  { N: 7, I: 64, O: 10 },
  { N: 2, I: 1, O: 33, bias: true },
  { N: 31, I: 17, O: 1, bias: true },
  { N: 22, I: 36, O: 10, bias: true },
  { N: 33, I: 65, O: 17, bias: true },
  { N: 64, I: 64, O: 64 },
  { N: 32, I: 784, O: 64, bias: true },
  { N: 32, I: 784, O: 128, bias: true },
  { N: 130, I: 37, O: 129, bias: true },
  { N: 257, I: 128, O: 10, bias: true },
  { N: 128, I: 784, O: 512, bias: true, network: "f1", paper: true },
  { N: 128, I: 512, O: 512, bias: true, network: "f1", paper: true },
  { N: 128, I: 512, O: 10, bias: true, network: "f1", paper: true },
  { N: 128, I: 3136, O: 384, network: "c1", paper: true },
  { N: 128, I: 64, O: 10, bias: true, network: "resnet44", paper: true },
  { N: 256, I: 9216, O: 4096, network: "alexnet", paper: true },
];
