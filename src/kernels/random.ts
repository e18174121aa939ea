import { defineKernel } from "../gpu/kernel.ts";
import type { Stream } from "../support/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const UNIFORM = defineKernel({
  file: "random/uniform.wgsl",
  bindings: ["x"],
  overrides: ["SIZE", "STREAM"],
  params: ["seed", "tensor", "low", "high"],
});

const NORMAL = defineKernel({
  file: "random/normal.wgsl",
  bindings: ["x"],
  overrides: ["SIZE", "STREAM"],
  params: ["seed", "tensor", "mean", "deviation"],
});

/** Determines the numbers: the same key gives the same numbers, another tensor index gives others. */
export interface RandomKey {
  readonly seed: number;
  readonly stream: Stream;
  /** Distinguishes the tensors that one stream fills. */
  readonly tensor: number;
}

/** Fills x, of any shape, with numbers uniform in [low, high). */
export function launchUniform(
  x: Tensor,
  { seed, stream, tensor }: RandomKey,
  { low, high }: { low: number; high: number },
): void {
  x.gpu.run(UNIFORM, {
    buffers: { x },
    overrides: { SIZE: x.size, STREAM: stream },
    params: { seed, tensor, low, high },
    workgroups: flatGrid(x.size),
    cost: { flops: 2 * x.size, bytes: 4 * x.size },
  });
}

/** Fills x, of any shape, with normal numbers. */
export function launchNormal(
  x: Tensor,
  { seed, stream, tensor }: RandomKey,
  { mean, deviation }: { mean: number; deviation: number },
): void {
  x.gpu.run(NORMAL, {
    buffers: { x },
    overrides: { SIZE: x.size, STREAM: stream },
    params: { seed, tensor, mean, deviation },
    workgroups: flatGrid(x.size),
    cost: { flops: 10 * x.size, bytes: 4 * x.size },
  });
}
