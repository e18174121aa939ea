// Properties of the float64 references that central differences cannot check.

import { describe, expect, test } from "vitest";
import { batch, drawCrop } from "../../src/reference/batch.ts";
import { conv2dOutputSize } from "../../src/reference/conv2d.ts";
import { ghostBatchNorm, ghostRange, type RunningRule } from "../../src/reference/ghost-batch-norm.ts";
import { maxPool, maxPoolGradient } from "../../src/reference/max-pool.ts";
import { pcg4d } from "../../src/reference/random.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { type RunningStatistics, updateRunningStatistics } from "../../src/reference/running-statistics.ts";
import { sgdStep } from "../../src/reference/sgd.ts";
import { softmaxCrossEntropy } from "../../src/reference/softmax-cross-entropy.ts";

describe("ghost-batch-norm", () => {
  const size = { C: 3, HW: 4, eps: 1e-5 };
  const x = randomData(1).normals(22 * 12);
  const gamma = new Float64Array(3).fill(1.5);
  const beta = new Float64Array(3).fill(-0.5);

  test("22 samples in ghosts of 7 are 7, 7 and 8", () => {
    const layout = { N: 22, ghostSize: 7, ghosts: 3 };
    const ranges = [0, 1, 2].map((g) => ghostRange(g, layout));
    expect(ranges).toEqual([
      { start: 0, end: 7 },
      { start: 7, end: 14 },
      { start: 14, end: 22 },
    ]);
  });

  test("all ghosts at once give the same as each ghost alone", () => {
    const { y } = ghostBatchNorm({ x, gamma, beta }, { ...size, N: 22, ghostSize: 7, ghosts: 3 });
    const parts = [0, 1, 2].flatMap((g) => {
      const { start, end } = ghostRange(g, { N: 22, ghostSize: 7, ghosts: 3 });
      const own = { ...size, N: end - start, ghostSize: end - start, ghosts: 1 };
      return [...ghostBatchNorm({ x: x.slice(start * 12, end * 12), gamma, beta }, own).y];
    });
    expect([...y]).toEqual(parts);
  });
});

describe("running statistics", () => {
  const layout = { N: 32 * 128, C: 1, HW: 1, ghostSize: 128, ghosts: 32 };
  const constant = { mean: new Float64Array(32).fill(3), variance: new Float64Array(32).fill(1) };
  const settle = (rule: RunningRule) => {
    let running: RunningStatistics = {
      runningMean: new Float64Array(1),
      runningVariance: new Float64Array([4]),
    };
    const options = { ...layout, rule, momentum: 0.1, eps: 0 };
    for (let i = 0; i < 400; i++) running = updateRunningStatistics({ ...constant, ...running }, options);
    return running;
  };

  test.each(["sequential", "mean", "full", "composer"] as const)(
    "%s converges to constant statistics",
    (rule) => {
      const unbiased = rule === "full" ? 4096 / 4095 : 128 / 127;
      expect(settle(rule).runningMean[0]).toBeCloseTo(3, 9);
      expect(settle(rule).runningVariance[0]).toBeCloseTo(unbiased, 9);
    },
  );

  test("paper-literal converges to 0.869 of the true value", () => {
    const { runningMean, runningVariance } = settle("paper-literal");
    expect(runningMean[0] / 3).toBeCloseTo(0.869, 3);
    expect(Math.sqrt(runningVariance[0])).toBeCloseTo(0.869, 3);
  });

  test("full gives the mean and the unbiased variance of the whole batch, with unequal ghosts too", () => {
    const values = randomData(2).normals(22, { mean: 5, deviation: 2 });
    const size = { N: 22, C: 1, HW: 1, ghostSize: 7, ghosts: 3 };
    const one = new Float64Array([1]);
    const statistics = ghostBatchNorm({ x: values, gamma: one, beta: one }, { ...size, eps: 0 });
    const { runningMean, runningVariance } = updateRunningStatistics(
      { ...statistics, runningMean: one, runningVariance: one },
      { ...size, rule: "full", momentum: 1, eps: 0 },
    );
    const mean = values.reduce((sum, value) => sum + value, 0) / 22;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 21;
    expect(runningMean[0]).toBeCloseTo(mean, 12);
    expect(runningVariance[0]).toBeCloseTo(variance, 12);
  });
});

test("softmax-cross-entropy: among equal logits the lower class ranks first", () => {
  const logits = new Float64Array([2, 2, 1, 1, 1, 1, 1]);
  const at = (label: number) => softmaxCrossEntropy({ logits, labels: [label] }, { N: 1, classes: 7 });
  expect([0, 1, 2, 3, 4, 5, 6].map((label) => at(label).top1[0])).toEqual([1, 0, 0, 0, 0, 0, 0]);
  expect([0, 1, 2, 3, 4, 5, 6].map((label) => at(label).top5[0])).toEqual([1, 1, 1, 1, 1, 0, 0]);
});

test("max-pool: among equal values the first in row-major order wins, and padding never wins", () => {
  const size = { N: 1, C: 1, H: 3, W: 3, kernel: 3, stride: 2, padding: 1 };
  const { y, indices } = maxPool(new Float64Array(9).fill(-1), size);
  expect([...y]).toEqual([-1, -1, -1, -1]);
  expect([...indices]).toEqual([0, 1, 3, 4]);
  const dx = maxPoolGradient({ dy: new Float64Array([1, 2, 3, 4]), indices }, size);
  expect([...dx]).toEqual([1, 2, 0, 3, 4, 0, 0, 0, 0]);
});

test("conv2d: a filter larger than the padded image is an error", () => {
  const size = { N: 1, C: 1, H: 3, W: 9, K: 1, R: 6, S: 6, stride: 1, padding: 1 };
  expect(() => conv2dOutputSize(size)).toThrow("6x6 filter is larger than a 3x9 image padded by 1");
});

test("sgd: clipping does not affect weight decay or small gradients", () => {
  const state = { parameters: new Float64Array([1, 0]), velocity: new Float64Array(2) };
  const options = { lr: 1, momentum: 0.9, weightDecay: 0.5, clipNorm: 5 };
  const clipped = sgdStep({ ...state, gradients: new Float64Array([30, 40]) }, options);
  expect(clipped.gradientNorm).toBe(50);
  expect([...clipped.velocity]).toEqual([expect.closeTo(3 + 0.5, 6), expect.closeTo(4, 6)]);
  expect([...sgdStep({ ...state, gradients: new Float64Array([0.3, 0.4]) }, options).velocity]).toEqual([
    0.8, 0.4,
  ]);
});

test("batch: crop, padding and mirror", () => {
  const options = { C: 1, H: 2, W: 3, padding: 1, padValue: 9, mean: [0], deviation: [1 / 255] };
  const images = Uint8Array.from([1, 2, 3, 4, 5, 6]);
  const crop = (top: number, left: number, flip: boolean) =>
    [...batch({ images, order: [0], crops: [{ top, left, flip }] }, options)].map(Math.round);
  expect([...batch({ images, order: [0] }, options)].map(Math.round)).toEqual([1, 2, 3, 4, 5, 6]);
  expect(crop(1, 1, true)).toEqual([3, 2, 1, 6, 5, 4]);
  expect(crop(2, 0, false)).toEqual([9, 4, 5, 9, 9, 9]);
  expect(crop(0, 2, true)).toEqual([9, 9, 9, 9, 3, 2]);
});

test("random: pcg4d gives the words of its published listing, and crops stay in range", () => {
  // Computed with the listing of Jarzynski and Olano 2020 compiled as C.
  expect(pcg4d([0, 0, 0, 0])).toEqual([251852841, 760645481, 850445371, 3542436074]);
  expect(pcg4d([1, 2, 3, 0xffffffff])).toEqual([3665870603, 831450879, 2804376035, 618363112]);
  const crops = Array.from({ length: 500 }, (_, sample) =>
    drawCrop({ seed: 7, stream: 3, epoch: 1, sample }, 2),
  );
  expect(new Set(crops.map(({ top }) => top))).toEqual(new Set([0, 1, 2, 3, 4]));
  expect(new Set(crops.map(({ left }) => left))).toEqual(new Set([0, 1, 2, 3, 4]));
  // 250 of 500, within four standard deviations of 11.
  expect(Math.abs(crops.filter(({ flip }) => flip).length - 250)).toBeLessThan(45);
});
