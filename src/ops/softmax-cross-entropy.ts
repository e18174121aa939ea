import { launchLossAndGrad, type SampleWeights } from "../kernels/softmax-cross-entropy.ts";
import { dims, expectShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";

/**
 * The loss Σ_n weight[n] · (log Σ_k exp(logits[n,k]) − logits[n,label]) and its gradient, which is where
 * backpropagation starts: `tape.backward(logits, dlogits)`.
 *
 * @param logits  [N, K]
 * @param labels  [N] u32, each below K
 * @param weights weight of each sample; 1 / N for all of them is the mean
 * @returns dlogits [N, K]; rows [N, 4]: weight · loss, top-1 hit, top-5 hit, loss
 * @throws ShapeError when the shapes do not fit
 */
export function softmaxCrossEntropy(
  logits: Tensor,
  labels: Tensor,
  weights: SampleWeights,
): { dlogits: Tensor; rows: Tensor } {
  const [N] = dims("softmaxCrossEntropy: logits", logits.shape, 2);
  expectShape("softmaxCrossEntropy: labels", labels.shape, [N]);
  const dlogits = empty(logits.gpu, logits.shape, "f32", "dlogits");
  const rows = empty(logits.gpu, [N, 4], "f32", "loss rows");
  launchLossAndGrad({ logits, labels, dlogits, rows }, weights);
  return { dlogits, rows };
}
