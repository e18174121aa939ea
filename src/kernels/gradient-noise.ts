import { defineKernel } from "../gpu/kernel.ts";
import { STREAMS } from "../support/random.ts";
import { dims } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LANES } from "./grid.ts";

const MULTIPLY = defineKernel({
  file: "gradient-noise/multiply.wgsl",
  bindings: ["dlogits", "step"],
  overrides: ["N", "K", "STREAM"],
  params: ["classes", "first", "deviation"],
});

export interface GradientNoise {
  /** σ of the factors z_n ~ N(1, σ²). */
  readonly deviation: number;
  /** Index of the slab's first sample in the batch. */
  readonly firstSample: number;
}

/**
 * dlogits[n] ← z_n · dlogits[n] in place, with a factor for each sample of the batch and step.
 *
 * @param t.dlogits [N, K]
 * @param t.step    the Step uniform: seed and step number are taken from it
 */
export function launchGradientNoise(
  t: { dlogits: Tensor; step: Tensor },
  { deviation, firstSample }: GradientNoise,
): void {
  const [N, K] = dims("gradientNoise: dlogits", t.dlogits.shape, 2);
  t.dlogits.gpu.run(MULTIPLY, {
    buffers: t,
    overrides: { N, K, STREAM: STREAMS.noise },
    params: { classes: K, first: firstSample, deviation },
    workgroups: [Math.ceil(N / LANES)],
    cost: { flops: N * (K + 10), bytes: 8 * N * K },
  });
}
