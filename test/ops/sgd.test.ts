// Clip and momentum SGD on the GPU against float64: norm, coefficient, velocity and parameters over several steps.

import { beforeAll, describe, expect, test } from "vitest";
import { caseLabel } from "../../src/cases/label.ts";
import { type SgdCase, sgdCases } from "../../src/cases/sgd.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchClip, launchMomentum, launchSumOfSquares, partialSums } from "../../src/kernels/sgd.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { l2Norm, type SgdOptions, sgdStep } from "../../src/reference/sgd.ts";
import { empty, fromArray, persistent, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import { BASE_REGIMES } from "../../src/train/base-regimes.ts";
import { hyperparametersAt, meanMomentumGain, planRegime } from "../../src/train/regime.ts";
import { IDLE_STEP, StepUniform } from "../../src/train/step-uniform.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";
import { isAffordable, poisonAllocations, VARIANTS } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

const ROWS = 3;
// The flat buffers of the other cases end in padding, this one in parameters.
const unpadded: SgdCase = {
  size: 4096,
  lr: 0.1,
  momentum: 0.9,
  weightDecay: 1e-4,
  clipNorm: 5,
  gradientDeviation: 1,
};
const cases = [...sgdCases, unpadded].filter((one) => isAffordable(one, { bytes: 4 * one.size }));

test.each(VARIANTS.flatMap((variant) => cases.map((one) => [variant, caseLabel(one), one] as const)))(
  "%s, %s",
  async (variant, label, one) => {
    gpu.variant = variant;
    const data = randomData(one.size);
    const host = {
      parameters: Float64Array.from(data.normals(one.size, { deviation: 0.1 })),
      velocity: new Float64Array(one.size),
    };
    const { run, tensors, log } = flatState(host.parameters);
    const steps = one.paper ? 1 : 3;
    const starting = largest(host.parameters);
    for (let step = 0; step < steps; step++) {
      const gradients = Float64Array.from(data.normals(one.size, { deviation: one.gradientDeviation }));
      const stepped = sgdStep({ ...host, gradients }, one);
      run(gradients, one, step);
      const [norm, coefficient, learningRate, rest] = (await readFloats(log)).subarray(
        8 * (step % ROWS) + 4,
        8 * (step % ROWS) + 8,
      );
      // All terms of the norm are positive: the longest chain of additions is 256 partial sums of at most 4,096 terms in 64 lanes.
      const relative = roundingBound({ terms: 512, scale: 1 });
      expect(Math.abs(norm! / stepped.gradientNorm - 1)).toBeLessThan(relative);
      expect(Math.abs(coefficient! / stepped.coefficient - 1)).toBeLessThan(relative);
      expect([learningRate, rest]).toEqual([Math.fround(one.lr), 0]);

      const scale = largest(stepped.velocity) * (1 + relative / 2 ** -24);
      const bound = roundingBound({ terms: 3 * (step + 1), scale });
      const place = `${label}, step ${step}`;
      const [velocity, parameters] = [await readFloats(tensors.velocity), await readFloats(tensors.value)];
      expectClose(velocity.subarray(0, one.size), stepped.velocity, { bound, label: `${place} velocity` });
      const ownBound = one.lr * (step + 1) * bound + roundingBound({ terms: step + 1, scale: starting });
      expectClose(parameters.subarray(0, one.size), stepped.parameters, {
        bound: ownBound,
        label: `${place} parameters`,
      });
      // The padding is 0, and stays so.
      expect(largest(velocity.subarray(one.size)) + largest(parameters.subarray(one.size))).toBe(0);
      Object.assign(host, { parameters: stepped.parameters, velocity: stepped.velocity });
    }
  },
);

describe("the clip", () => {
  const still = { lr: 1, momentum: 0, weightDecay: 0, clipNorm: 5 };
  const gradientOf = (norm: number) => {
    const direction = randomData(3).normals(1000);
    const length = l2Norm(direction);
    return Float64Array.from(direction, (value) => Math.fround((value * norm) / length));
  };

  test("reduces a larger norm to 5.000", async () => {
    const { run, tensors } = flatState(new Float64Array(1000));
    run(gradientOf(123), still, 0);
    expect(l2Norm(await readFloats(tensors.value))).toBeCloseTo(5, 5);
  });

  test("does not change a smaller norm, and changes nothing if it is off", async () => {
    for (const [norm, clipNorm] of [
      [4.99, 5],
      [123, null],
    ] as const) {
      const gradient = gradientOf(norm);
      const { run, tensors } = flatState(new Float64Array(1000));
      run(gradient, { ...still, clipNorm }, 0);
      const moved = (await readFloats(tensors.value)).subarray(0, 1000);
      expect(moved).toEqual(Float32Array.from(gradient, (value) => -value));
    }
  });

  test("comes before weight decay and does not scale it", async () => {
    const start = gradientOf(40);
    const { run, tensors } = flatState(start);
    run(gradientOf(5e6), { ...still, lr: 0.5, weightDecay: 0.25 }, 0);
    const clipped = gradientOf(5);
    const expected = start.map((w, i) => w - 0.5 * (clipped[i]! + 0.25 * w));
    const bound = roundingBound({ terms: 64, scale: largest(start) });
    expectClose((await readFloats(tensors.value)).subarray(0, 1000), expected, {
      bound,
      label: "decayed parameters",
    });
  });
});

// The mean of velocity / gradient over an epoch of T steps that begins at velocity 0.
test.each([
  [13, 4.84],
  [391, 9.77],
])(
  "momentum reset: in epochs of %i steps, a step moves by %f gradients on average",
  async (stepsPerEpoch, published) => {
    const base = {
      ...BASE_REGIMES.f1,
      epochs: 2,
      entries: [{ epoch: 0, learningRate: 2 ** -10, momentum: 0.9, weightDecay: 0 }],
    };
    const regime = planRegime({
      base,
      batchSize: 128,
      referenceBatchSize: 128,
      stepsPerEpoch,
      momentumReset: "epoch",
    });
    const { run, tensors } = flatState(new Float64Array(4));
    const gradient = new Float64Array([1, -2, 0.5, 3]);
    let before = new Float32Array(64);
    for (let step = 0; step < 2 * stepsPerEpoch; step++) {
      const { learningRate: lr, momentum, weightDecay, resetMomentum } = hyperparametersAt(regime, step);
      run(gradient, { lr, momentum: resetMomentum ? 0 : momentum, weightDecay, clipNorm: null }, step);
      if ((step + 1) % stepsPerEpoch !== 0) continue;
      const after = await readFloats(tensors.value);
      for (const [i, g] of gradient.entries()) {
        const gain = (before[i]! - after[i]!) / (2 ** -10 * stepsPerEpoch * g);
        expect(gain).toBeCloseTo(meanMomentumGain(0.9, stepsPerEpoch), 3);
        expect(gain).toBeCloseTo(published, 1);
      }
      before = after;
    }
  },
);

/** A flat buffer as in a model, padded with zeros to a multiple of 256 bytes, and a step on it. */
function flatState(parameters: Float64Array) {
  const size = Math.ceil(parameters.length / 64) * 64;
  const padded = (values: Float64Array) => {
    const all = new Float32Array(size);
    all.set(values);
    return all;
  };
  const value = fromArray(gpu, padded(parameters));
  const velocity = persistent(gpu, [size]);
  const gradient = persistent(gpu, [size]);
  const log = fromArray(gpu, new Float32Array(ROWS * 8).fill(Number.NaN), [ROWS, 8]);
  const step = new StepUniform(gpu);
  const run = (gradients: Float64Array, { lr, momentum, weightDecay, clipNorm }: SgdOptions, index: number) =>
    gpu.scope(() => {
      gpu.write(gradient, padded(gradients));
      step.write({
        ...IDLE_STEP,
        ...{ learningRate: lr, momentum, weightDecay, clipNorm: clipNorm ?? 0, step: index },
      });
      const partial: Tensor = empty(gpu, [partialSums(size)]);
      const clip = empty(gpu, [2]);
      launchSumOfSquares({ x: gradient, partial });
      launchClip({ partial, clip, log, step: step.tensor });
      launchMomentum({ gradient, clip, velocity, value, step: step.tensor });
    });
  return { run, log, tensors: { value, velocity } };
}
