import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import { dims } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid, LANES } from "./grid.ts";
import { reductionLanes } from "./reduction-tiles.ts";

const LOSS_AND_GRAD = defineKernel({
  file: "softmax-cross-entropy/loss-and-grad.wgsl",
  bindings: ["logits", "labels", "dlogits", "rows"],
  overrides: ["N", "K"],
  params: ["classes", "last_start", "weight", "last_weight", "loss_scale"],
});

const LOSS_AND_GRAD_ROW = defineKernel({
  file: "softmax-cross-entropy/loss-and-grad-row.wgsl",
  bindings: ["logits", "labels", "dlogits", "rows"],
  overrides: ["N", "K", "WG_SIZE"],
  params: ["classes", "last_start", "weight", "last_weight", "loss_scale"],
});

/**
 * From this many classes on, a wide GPU uses one workgroup per row. With fewer, most lanes even of a subgroup of 32 would be idle, and
 * a lane processes its row faster than a workgroup passes its barriers. Narrow adapters always use one lane per row: they gain nothing
 * from adjacent loads, and barriers are slow there.
 */
const CLASSES_OF_A_WORKGROUP: ByVariant<number> = { narrow: Number.POSITIVE_INFINITY, wide: 33 };

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
 * @param dlogits [N, K], written: lossScale · weight[n] · (softmax − onehot)
 * @param rows    [N, 4], written: weight · loss, top-1 hit, top-5 hit, loss
 */
export function launchLossAndGrad(
  { logits, labels, dlogits, rows }: { logits: Tensor; labels: Tensor; dlogits: Tensor; rows: Tensor },
  { weight, lastWeight, lastStart, lossScale = 1 }: SampleWeights & { lossScale?: number },
): void {
  const [N, K] = dims("softmaxCrossEntropy: logits", logits.shape, 2);
  const { gpu } = logits;
  const launch = {
    buffers: { logits, labels, dlogits, rows },
    params: { classes: K, last_start: lastStart, weight, last_weight: lastWeight, loss_scale: lossScale },
    cost: { flops: 10 * N * K, bytes: 4 * (2 * N * K + 5 * N) },
  };
  if (K >= CLASSES_OF_A_WORKGROUP[gpu.baseVariant]) {
    const overrides = { N, K, WG_SIZE: Math.min(256, reductionLanes(gpu, N, K)) };
    gpu.run(LOSS_AND_GRAD_ROW, { ...launch, overrides, workgroups: flatGrid(N, 1) });
  } else {
    gpu.run(LOSS_AND_GRAD, { ...launch, overrides: { N, K }, workgroups: [Math.ceil(N / LANES)] });
  }
}
