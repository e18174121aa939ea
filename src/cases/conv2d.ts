// Shapes of conv2d, shared by tests and benchmarks.

import type { Conv2dSize } from "../reference/conv2d.ts";
import type { Case } from "./paper.ts";

export interface Conv2dCase extends Conv2dSize, Case {}

type Shape = [
  N: number,
  C: number,
  H: number,
  W: number,
  K: number,
  kernel: number,
  stride: number,
  padding: number,
];

const square = ([N, C, H, W, K, kernel, stride, padding]: Shape): Conv2dCase => ({
  ...{ N, C, H, W, K, R: kernel, S: kernel, stride, padding },
});

const SHAPES: Shape[] = [
  // 3×3: single pixels, odd sizes, primes in C and K, no padding, and padding as wide as the filter.
  [1, 1, 1, 1, 1, 3, 1, 1],
  [1, 1, 5, 5, 1, 3, 1, 0],
  [2, 1, 3, 3, 5, 3, 1, 0],
  [1, 2, 4, 5, 3, 3, 1, 3],
  [2, 3, 9, 7, 16, 3, 1, 1],
  [3, 5, 7, 7, 6, 3, 1, 1],
  [1, 7, 6, 10, 1, 3, 1, 1],
  [4, 16, 8, 8, 16, 3, 1, 1],
  [1, 33, 5, 6, 7, 3, 1, 1],
  [2, 3, 32, 32, 16, 3, 1, 1],
  [22, 4, 6, 6, 5, 3, 1, 1],
  [1, 64, 8, 8, 64, 3, 1, 1],
  [3, 33, 13, 17, 35, 3, 1, 1],
  [8, 16, 32, 32, 16, 3, 1, 1],
  // 3×3 with stride 2: even and odd sizes, so that the last window ends before, at and inside the padding.
  [2, 16, 8, 8, 32, 3, 2, 1],
  [5, 7, 11, 6, 9, 3, 2, 1],
  [1, 3, 7, 8, 5, 3, 2, 0],
  [1, 5, 2, 2, 3, 3, 2, 1],
  [8, 32, 16, 16, 64, 3, 2, 1],
  // 1×1, the projection of a shortcut.
  [2, 16, 8, 8, 32, 1, 2, 0],
  [3, 7, 5, 9, 16, 1, 2, 0],
  [1, 1, 1, 1, 1, 1, 1, 0],
  [4, 33, 6, 7, 65, 1, 1, 0],
  // 5×5, 11×11/4 and 2×2.
  [2, 3, 12, 12, 8, 5, 1, 2],
  [2, 3, 32, 32, 64, 5, 1, 2],
  [1, 16, 15, 15, 33, 5, 1, 2],
  [1, 3, 31, 31, 8, 11, 4, 2],
  [2, 3, 23, 27, 5, 11, 4, 2],
  [1, 3, 9, 8, 4, 2, 3, 0],
  // The filter as large as the padded image: one output pixel.
  [2, 3, 4, 4, 5, 6, 1, 1],
  [2, 5, 3, 3, 7, 5, 2, 1],
  // Many channels and few pixels, as at the end of VGG.
  [1, 512, 2, 2, 512, 3, 1, 1],
];

const PAPER_SHAPES: [network: string, ...Shape][] = [
  ["resnet44", 128, 3, 32, 32, 16, 3, 1, 1],
  ["resnet44", 128, 16, 32, 32, 16, 3, 1, 1],
  ["resnet44", 128, 16, 32, 32, 32, 3, 2, 1],
  ["resnet44", 128, 16, 32, 32, 32, 1, 2, 0],
  ["resnet44", 128, 32, 16, 16, 32, 3, 1, 1],
  ["resnet44", 128, 32, 16, 16, 64, 3, 2, 1],
  ["resnet44", 128, 32, 16, 16, 64, 1, 2, 0],
  ["resnet44", 128, 64, 8, 8, 64, 3, 1, 1],
  ["c1", 128, 3, 32, 32, 64, 5, 1, 2],
  ["c1", 128, 64, 15, 15, 64, 5, 1, 2],
  ["wresnet16-4", 128, 3, 32, 32, 64, 3, 1, 1],
  ["wresnet16-4", 128, 64, 32, 32, 64, 3, 1, 1],
  ["wresnet16-4", 128, 64, 32, 32, 128, 3, 2, 1],
  ["wresnet16-4", 128, 64, 32, 32, 128, 1, 2, 0],
  ["wresnet16-4", 128, 128, 16, 16, 128, 3, 1, 1],
  ["wresnet16-4", 128, 128, 16, 16, 256, 3, 2, 1],
  ["wresnet16-4", 128, 256, 8, 8, 256, 3, 1, 1],
  ["vgg", 128, 64, 16, 16, 128, 3, 1, 1],
  ["vgg", 128, 256, 8, 8, 256, 3, 1, 1],
  ["vgg", 128, 256, 4, 4, 512, 3, 1, 1],
  ["vgg", 128, 512, 4, 4, 512, 3, 1, 1],
  ["vgg", 128, 512, 2, 2, 512, 3, 1, 1],
  ["alexnet", 256, 3, 224, 224, 64, 11, 4, 2],
  ["alexnet", 256, 64, 27, 27, 192, 5, 1, 2],
  ["alexnet", 256, 192, 13, 13, 384, 3, 1, 1],
  ["alexnet", 256, 384, 13, 13, 256, 3, 1, 1],
  ["alexnet", 256, 256, 13, 13, 256, 3, 1, 1],
];

export const conv2dCases: readonly Conv2dCase[] = [
  ...SHAPES.map(square),
  { N: 2, C: 3, H: 7, W: 9, K: 4, R: 1, S: 5, stride: 1, padding: 0 },
  { N: 1, C: 2, H: 8, W: 6, K: 5, R: 4, S: 2, stride: 2, padding: 1 },
  ...PAPER_SHAPES.map(([network, ...shape]) => ({ ...square(shape), network, paper: true })),
];

/** Shapes that must be refused: the filter is larger than the padded image. */
export const conv2dErrorCases: readonly Conv2dCase[] = [
  square([1, 3, 4, 4, 8, 5, 1, 0]),
  square([1, 3, 8, 2, 8, 5, 1, 1]),
  square([2, 1, 1, 1, 1, 11, 4, 2]),
];
