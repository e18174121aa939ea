import { defineKernel } from "../gpu/kernel.ts";
import { STREAMS } from "../support/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { floatType } from "./element.ts";
import { flatGrid } from "./grid.ts";

const APPLY = defineKernel({
  file: "dropout/apply.wgsl",
  bindings: ["x", "y", "step"],
  overrides: ["STREAM", "ACCUMULATE"],
  params: ["count", "first", "size", "layer", "probability", "scale"],
  spec: ["Stored"],
});

export interface DropoutOptions {
  /** That a value is dropped: 0 ≤ probability < 1. */
  readonly probability: number;
  /** Index of this dropout in the network; each has its own mask. */
  readonly layer: number;
  /** Index of the slab's first sample in the batch. */
  readonly firstSample: number;
}

/**
 * y = x · mask / (1 − probability), written or added to. The mask is a function of the step's seed and number, the layer and
 * the value's position in the batch, so it is the same for every slab size, and in backward, which applies this to dy.
 *
 * @param t.x    [N, …], or the gradient of y
 * @param t.y    of x's shape, or the gradient of x
 * @param t.step the Step uniform
 */
export function launchDropout(
  t: { x: Tensor; y: Tensor; step: Tensor },
  { probability, layer, firstSample, accumulate = false }: DropoutOptions & { accumulate?: boolean },
): void {
  const { size } = t.x;
  const first = (firstSample * size) / t.x.shape[0]!;
  const count = Math.ceil(((first % 4) + size) / 4);
  t.x.gpu.run(APPLY, {
    buffers: t,
    overrides: { STREAM: STREAMS.dropout, ACCUMULATE: accumulate },
    params: { count, first, size, layer, probability, scale: 1 / (1 - probability) },
    spec: { Stored: floatType("dropout", { x: t.x, y: t.y }) },
    workgroups: flatGrid(count),
    cost: { flops: size, bytes: (accumulate ? 3 : 2) * t.x.byteLength },
  });
}
