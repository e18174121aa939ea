import { launchLossAndGrad, type SampleWeights } from "../kernels/softmax-cross-entropy.ts";
import { ShapeError } from "../support/errors.ts";
import { dims, expectNumber, expectShape, expectWhole } from "../tensor/shape.ts";
import { empty, expectType, type Tensor } from "../tensor/tensor.ts";

/**
 * The loss Σ_n weight[n] · (log Σ_k exp(logits[n,k]) − logits[n,label]) and its gradient, which is where
 * backpropagation starts: `tape.backward(logits, dlogits)`.
 *
 * @param logits  [N, K] f32
 * @param labels  [N] u32, each below K: the loss of a row with another label is NaN
 * @param weights weight of each sample; 1 / N for all of them is the mean
 * @param options.lossScale multiplies dlogits alone, and with it all gradients; 1 by default
 * @returns dlogits [N, K] f32; rows [N, 4]: weight · loss, top-1 hit, top-5 hit, loss
 * @throws ShapeError when shapes, types or numbers do not fit, e.g. for logits stored as f16
 */
export function softmaxCrossEntropy(
  logits: Tensor,
  labels: Tensor,
  weights: SampleWeights,
  { lossScale = 1 }: { lossScale?: number | undefined } = {},
): { dlogits: Tensor; rows: Tensor } {
  const [N] = dims("softmaxCrossEntropy: logits", logits.shape, 2);
  expectShape("softmaxCrossEntropy: labels", labels.shape, [N]);
  if (logits.dtype !== "f32")
    throw new ShapeError(
      `softmaxCrossEntropy: logits are ${logits.dtype}, expected f32: give the last Linear of the model { logits: true }`,
    );
  expectType("softmaxCrossEntropy", "u32", { labels });
  expectNumber("softmaxCrossEntropy: weight", weights.weight);
  expectNumber("softmaxCrossEntropy: lastWeight", weights.lastWeight);
  expectWhole("softmaxCrossEntropy: lastStart", weights.lastStart);
  expectNumber("softmaxCrossEntropy: lossScale", lossScale);
  const dlogits = empty(logits.gpu, logits.shape, "f32", "dlogits");
  const rows = empty(logits.gpu, [N, 4], "f32", "loss rows");
  launchLossAndGrad({ logits, labels, dlogits, rows }, { ...weights, lossScale });
  return { dlogits, rows };
}
