import { caseLabel } from "../../cases/label.ts";
import { type SoftmaxCrossEntropyCase, softmaxCrossEntropyCases } from "../../cases/softmax-cross-entropy.ts";
import { launchMetrics } from "../../kernels/metrics.ts";
import { launchLossAndGrad } from "../../kernels/softmax-cross-entropy.ts";
import { largest, roundingBound } from "../../reference/close.ts";
import { randomData } from "../../reference/random-data.ts";
import { softmaxCrossEntropy } from "../../reference/softmax-cross-entropy.ts";
import { fromArray } from "../../tensor/tensor.ts";
import { numbers, type Pass, passOf, poisoned, summed } from "../pass.ts";
import { stepUniform } from "./step.ts";

function inputs({
  N,
  classes,
  ties,
  mean = 0,
  deviation = 1,
  ghosts,
  ghostSize = N,
}: SoftmaxCrossEntropyCase) {
  const drawn = numbers(N * 1000 + classes)(N * classes, { mean, deviation });
  const logits = ties ? drawn.map(Math.round) : drawn;
  const labels = Uint32Array.from(randomData(N + classes).integers(N, classes));
  // The mean of the ghosts' means, or of the samples; exact in float32.
  const lastStart = ghosts === undefined ? N : (ghosts - 1) * ghostSize;
  const weight = Math.fround(ghosts === undefined ? 1 / N : 1 / (ghosts * ghostSize));
  const lastWeight = Math.fround(ghosts === undefined ? 1 / N : 1 / (ghosts * (N - lastStart)));
  const perSample = Float64Array.from({ length: N }, (_, n) => (n < lastStart ? weight : lastWeight));
  return { logits, labels, perSample, weights: { weight, lastWeight, lastStart } };
}

export const lossPasses: readonly Pass[] = [
  passOf("softmax-cross-entropy/loss-and-grad", softmaxCrossEntropyCases, {
    label: caseLabel,
    cost: ({ N, classes }) => ({ flops: 10 * N * classes, bytes: 8 * N * classes }),
    prepare: (gpu, one) => {
      const { N, classes } = one;
      const { logits: host, labels: hostLabels, perSample, weights } = inputs(one);
      const logits = fromArray(gpu, host, [N, classes], "logits");
      const labels = fromArray(gpu, hostLabels, [N], "labels");
      const dlogits = poisoned(gpu, [N, classes], "dlogits");
      const rows = poisoned(gpu, [N, 4], "rows");
      const reference = () =>
        softmaxCrossEntropy({ logits: host, labels: hostLabels, weights: perSample }, { N, classes });
      // WGSL's exp(x) may err by 3 + 2·|x| units in the last place, log by 2⁻²¹ near 1.
      const probability = roundingBound({ terms: classes + 4, scale: 1 });
      const lossBound = 2 ** -21 + probability + roundingBound({ terms: 4, scale: largest(host) });
      return {
        launch: () => launchLossAndGrad({ logits, labels, dlogits, rows }, weights),
        outputs: [
          {
            name: "dlogits",
            tensor: dlogits,
            reference: () => reference().dlogits,
            bound: () => probability * largest(perSample),
          },
          {
            name: "rows",
            tensor: rows,
            reference: () => {
              const { losses, top1, top5 } = reference();
              const values = new Float64Array(4 * N);
              for (let n = 0; n < N; n++) {
                values.set([perSample[n]! * losses[n]!, top1[n]!, top5[n]!, losses[n]!], 4 * n);
              }
              return values;
            },
            bound: () => lossBound,
          },
        ],
      };
    },
  }),
  passOf("metrics/accumulate", [{ N: 1 }, { N: 63 }, { N: 1000 }, { N: 4096, network: "f1", paper: true }], {
    label: caseLabel,
    cost: ({ N }) => ({ flops: 4 * N, bytes: 16 * N }),
    prepare: (gpu, { N }) => {
      const host = numbers(N)(4 * N, { mean: 1 });
      const rows = fromArray(gpu, host, [N, 4], "rows");
      const log = fromArray(gpu, new Float32Array(8), [1, 8], "log");
      const step = stepUniform(gpu);
      const reference = () => {
        const sums = new Float64Array(8);
        for (let i = 0; i < 4 * N; i++) sums[i % 4]! += host[i]!;
        sums[3] = N; // samples
        return sums;
      };
      return {
        launch: () => launchMetrics({ rows, log, step }, { accumulate: false }),
        outputs: [summed("log", log, N, reference)],
      };
    },
  }),
];
