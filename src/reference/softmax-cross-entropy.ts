// Float64 reference of softmax-cross-entropy: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

/**
 * Softmax cross-entropy, its gradient, and top-1 and top-5 hits.
 *
 *   losses[n] = log Σ_k exp(logits[n, k]) − logits[n, labels[n]],   loss = Σ_n weights[n] · losses[n]
 *   dlogits[n, k] = weights[n] · (softmax(logits[n])[k] − [k = labels[n]])
 *
 * A sample is a top-k hit when fewer than k classes rank before its label. A class ranks before the label when its
 * logit is larger, or equal with a lower index.
 *
 * @param logits   [N, classes]
 * @param labels   [N], 0 ≤ label < classes
 * @param weights  [N]; 1/N each where left out, so that the loss is the mean over the samples
 * @returns losses [N], loss, dlogits [N, classes], hits top1 and top5 [N] (1 or 0)
 */
export function softmaxCrossEntropy(
  { logits, labels, weights }: { logits: Values; labels: ArrayLike<number>; weights?: Values },
  { N, classes }: { N: number; classes: number },
): { losses: Float64Array; loss: number; dlogits: Float64Array; top1: Uint8Array; top5: Uint8Array } {
  const losses = new Float64Array(N);
  const dlogits = new Float64Array(N * classes);
  const top1 = new Uint8Array(N);
  const top5 = new Uint8Array(N);
  let loss = 0;
  for (let n = 0; n < N; n++) {
    const row = n * classes;
    const weight = weights ? weights[n] : 1 / N;
    const own = logits[row + labels[n]];

    let largest = Number.NEGATIVE_INFINITY;
    let before = 0;
    for (let k = 0; k < classes; k++) {
      const logit = logits[row + k];
      largest = Math.max(largest, logit);
      if (logit > own || (logit === own && k < labels[n])) before++;
    }
    top1[n] = before < 1 ? 1 : 0;
    top5[n] = before < 5 ? 1 : 0;

    let sum = 0;
    for (let k = 0; k < classes; k++) sum += Math.exp(logits[row + k] - largest);
    losses[n] = Math.log(sum) + (largest - own);
    loss += weight * losses[n];
    for (let k = 0; k < classes; k++) {
      const probability = Math.exp(logits[row + k] - largest) / sum;
      dlogits[row + k] = weight * (probability - (k === labels[n] ? 1 : 0));
    }
  }
  return { losses, loss, dlogits, top1, top5 };
}
