// Softmax cross-entropy on the GPU against float64: loss, gradient, hits, and their sums in the log.

import { beforeAll, describe, expect, test } from "vitest";
import { caseLabel } from "../../src/cases/label.ts";
import {
  type SoftmaxCrossEntropyCase,
  softmaxCrossEntropyCases,
} from "../../src/cases/softmax-cross-entropy.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchMetrics } from "../../src/kernels/metrics.ts";
import { softmaxCrossEntropy } from "../../src/ops/softmax-cross-entropy.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { softmaxCrossEntropy as reference } from "../../src/reference/softmax-cross-entropy.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { IDLE_STEP, StepUniform } from "../../src/train/step-uniform.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";
import { expectSameBits, isAffordable, poisonAllocations, VARIANTS } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

const cases = softmaxCrossEntropyCases.filter((one) => isAffordable(one, { bytes: 4 * one.N * one.classes }));

test.each(VARIANTS.flatMap((variant) => cases.map((one) => [variant, caseLabel(one), one] as const)))(
  "%s, %s",
  async (variant, label, one) => {
    gpu.variant = variant;
    const { N, classes } = one;
    const { logits, labels, weights, perSample } = prepared(one);
    const run = () =>
      softmaxCrossEntropy(fromArray(gpu, logits, [N, classes]), fromArray(gpu, labels), weights);
    const { dlogits, rows } = run();
    const again = run();
    const expected = reference({ logits, labels, weights: perSample }, { N, classes });

    // WGSL's exp(x) may err by 3 + 2·|x| units in the last place; |x|·exp(x) is at most 0.37 for x ≤ 0, so that is 4 units of 1.
    const probability = roundingBound({ terms: classes + 4, scale: 1 });
    const bound = probability * largest(perSample);
    expectClose(await readFloats(dlogits), expected.dlogits, {
      bound,
      label: `${label} dlogits`,
      shape: [N, classes],
    });

    const actual = await readFloats(rows);
    const column = (index: number) => Float32Array.from({ length: N }, (_, n) => actual[4 * n + index]!);
    // log may err by 2⁻²¹ near 1 (WGSL); beyond that only differences of logits are rounded, however large the logits are.
    const scale = largestDifference(logits, classes);
    const lossBound = 2 ** -21 + probability + roundingBound({ terms: 2, scale });
    expectClose(column(3), expected.losses, { bound: lossBound, label: `${label} losses` });
    const weighted = expected.losses.map((loss, n) => loss * perSample[n]!);
    const weightedBound =
      (lossBound + roundingBound({ terms: 1, scale: largest(expected.losses) })) * largest(perSample);
    expectClose(column(0), weighted, { bound: weightedBound, label: `${label} weighted losses` });
    expectClose(column(1), expected.top1, { bound: 0, label: `${label} top-1 hits` });
    expectClose(column(2), expected.top5, { bound: 0, label: `${label} top-5 hits` });
    await expectSameBits(dlogits, again.dlogits, "dlogits");
    await expectSameBits(rows, again.rows, "rows");
  },
);

/** max_k logits[n, k] − min_k logits[n, k], over all rows. */
function largestDifference(logits: Float32Array, classes: number): number {
  let difference = 0;
  for (let start = 0; start < logits.length; start += classes) {
    const row = logits.subarray(start, start + classes);
    difference = Math.max(difference, Math.max(...row) - Math.min(...row));
  }
  return difference;
}

// The offsets and differences are exact in float32, so that nothing but the kernel rounds.
test.each(VARIANTS.flatMap((variant) => [2, 10, 100].map((classes) => [variant, classes] as const)))(
  "%s, %i classes: the loss depends only on differences of logits",
  async (variant, classes) => {
    gpu.variant = variant;
    const differences = [0, -8, 16, 48];
    for (const offset of [0, 1e2, 1e4, 1e6, 1e8, -1e8]) {
      // The label's logit is `offset + difference`, all others are `offset`.
      const logits = Float32Array.from({ length: 4 * classes }, (_, i) =>
        i % classes === 0 ? offset + differences[Math.floor(i / classes)]! : offset,
      );
      // loss = log(e^d + classes − 1) − d
      const expected = differences.map((d) => Math.log1p((classes - 1) * Math.exp(-d)));
      const weights = { weight: 1, lastWeight: 1, lastStart: 4 };
      const { rows } = softmaxCrossEntropy(
        fromArray(gpu, logits, [4, classes]),
        fromArray(gpu, new Uint32Array(4)),
        weights,
      );
      const actual = await readFloats(rows);
      differences.forEach((difference, n) => {
        const error = Math.abs(actual[4 * n + 3]! - expected[n]!);
        expect(error, `offset ${offset}, difference ${difference}`).toBeLessThanOrEqual(
          1e-6 * Math.max(1, Math.abs(difference)),
        );
      });
      expect(Math.abs(actual[3]! - Math.log(classes)), `${classes} equal logits`).toBeLessThan(
        1e-6 * Math.log(classes),
      );
    }
  },
);

function prepared({
  N,
  classes,
  ties,
  mean = 0,
  deviation = 1,
  ghosts,
  ghostSize = N,
}: SoftmaxCrossEntropyCase) {
  const data = randomData(N * 1000 + classes);
  const whole = Float32Array.from(data.integers(N * classes, 4));
  const logits = ties ? whole : data.normals(N * classes, { mean, deviation });
  const labels = Uint32Array.from(data.integers(N, classes));
  // The mean of the ghosts' means, or the mean of the samples; the weights are exact in float32.
  const lastStart = ghosts === undefined ? N : (ghosts - 1) * ghostSize;
  const weight = Math.fround(ghosts === undefined ? 1 / N : 1 / (ghosts * ghostSize));
  const lastWeight = Math.fround(ghosts === undefined ? 1 / N : 1 / (ghosts * (N - lastStart)));
  const perSample = Float64Array.from({ length: N }, (_, n) => (n < lastStart ? weight : lastWeight));
  return { logits, labels, weights: { weight, lastWeight, lastStart }, perSample };
}

test.each(VARIANTS.flatMap((variant) => [3, 70].map((classes) => [variant, classes] as const)))(
  "%s, %i classes: a label out of range makes the loss of its own row NaN, and no other",
  async (variant, classes) => {
    gpu.variant = variant;
    const logits = fromArray(gpu, new Float32Array(4 * classes).fill(1), [4, classes]);
    const labels = fromArray(gpu, new Uint32Array([0, classes, 2 ** 32 - 1, classes - 1]));
    const { rows } = softmaxCrossEntropy(logits, labels, { weight: 0.25, lastWeight: 0.25, lastStart: 4 });
    const actual = await readFloats(rows);
    const losses = [0, 1, 2, 3].map((n) => actual[4 * n + 3]!);
    expect(losses.map(Number.isNaN)).toEqual([false, true, true, false]);
    expect([4, 8].map((row) => [...actual.subarray(row + 1, row + 3)])).toEqual([
      [0, 0],
      [0, 0],
    ]);
  },
);

test.each(VARIANTS.flatMap((variant) => [3, 70].map((classes) => [variant, classes] as const)))(
  "%s, %i classes: a row that is not finite is not a hit, and does not affect the others",
  async (variant, classes) => {
    gpu.variant = variant;
    const first = [
      [5, 0, 0],
      [Number.NaN, 9, 0],
      [0, 0, Number.POSITIVE_INFINITY],
      [0, 7, 0],
    ];
    const logits = Float32Array.from(first.flatMap((row) => [...row, ...Array(classes - 3).fill(0)]));
    const labels = new Uint32Array([0, 1, 2, 1]);
    const weights = { weight: 0.25, lastWeight: 0.25, lastStart: 4 };
    const { rows, dlogits } = softmaxCrossEntropy(
      fromArray(gpu, logits, [4, classes]),
      fromArray(gpu, labels),
      weights,
    );
    const actual = await readFloats(rows);
    const hits = [0, 1, 2, 3].map((n) => [actual[4 * n + 1], actual[4 * n + 2]]);
    expect(hits).toEqual([
      [1, 1],
      [0, 0],
      [0, 0],
      [1, 1],
    ]);
    expect([1, 2].map((n) => Number.isFinite(actual[4 * n + 3]))).toEqual([false, false]);
    expect((await readFloats(dlogits)).subarray(3 * classes).every(Number.isFinite)).toBe(true);
  },
);

describe("the log", () => {
  test.each([1, 63, 64, 65, 1000])("sums of %i rows, first written and then added to", async (N) => {
    const host = randomData(N).normals(4 * N, { mean: 1 });
    const rows = fromArray(gpu, host, [N, 4]);
    const log = fromArray(gpu, new Float32Array(3 * 8).fill(Number.NaN), [3, 8]);
    const step = new StepUniform(gpu);
    step.write({ ...IDLE_STEP, step: 3 * 17 + 1 }); // row 1 of 3
    for (const accumulate of [false, true]) {
      launchMetrics({ rows, log, step: step.tensor }, { accumulate });
      const times = accumulate ? 2 : 1;
      const sums = new Float64Array(4);
      for (let i = 0; i < 4 * N; i++) sums[i % 4]! += times * host[i]!;
      sums[3] = times * N; // samples
      const actual = await readFloats(log);
      const bound = roundingBound({ terms: N, scale: largest(sums) });
      expectClose(actual.subarray(8, 12), sums, { bound, label: `log after ${times}` });
      const untouched = [...actual.subarray(0, 8), ...actual.subarray(12)];
      expect(untouched.every(Number.isNaN)).toBe(true);
    }
  });
});

test("shapes that do not fit are named", () => {
  const weights = { weight: 1, lastWeight: 1, lastStart: 3 };
  const logits = fromArray(gpu, new Float32Array(6), [3, 2]);
  expect(() => softmaxCrossEntropy(logits, fromArray(gpu, new Uint32Array(2)), weights)).toThrow(
    "softmaxCrossEntropy: labels: expected [3], got [2]",
  );
});
