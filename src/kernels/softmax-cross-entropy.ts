import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { LANES } from "./grid.ts";

const LOSS_AND_GRAD = defineKernel({
  file: "softmax-cross-entropy/loss-and-grad.wgsl",
  bindings: ["logits", "labels", "dlogits", "rows"],
  overrides: ["N", "K"],
  params: ["classes", "last_start", "weight", "last_weight"],
});

/** Weights of the samples of a slab in the loss: `weight` before sample `lastStart`, `lastWeight` from it on. */
export interface SampleWeights {
  readonly weight: number;
  readonly lastWeight: number;
  readonly lastStart: number;
}

/**
 * Loss, gradient and hits of every row.
 *
 * @param logits  [N, K]
 * @param labels  [N] u32
 * @param dlogits [N, K], written: weight[n] · (softmax − onehot)
 * @param rows    [N, 4], written: weight · loss, top-1 hit, top-5 hit, loss
 */
export function launchLossAndGrad(
  { logits, labels, dlogits, rows }: { logits: Tensor; labels: Tensor; dlogits: Tensor; rows: Tensor },
  { weight, lastWeight, lastStart }: SampleWeights,
): void {
  const [N, K] = logits.shape as [number, number];
  logits.gpu.run(LOSS_AND_GRAD, {
    buffers: { logits, labels, dlogits, rows },
    overrides: { N, K },
    params: { classes: K, last_start: lastStart, weight, last_weight: lastWeight },
    workgroups: [Math.ceil(N / LANES)],
    cost: { flops: 10 * N * K, bytes: 4 * (2 * N * K + 5 * N) },
  });
}
