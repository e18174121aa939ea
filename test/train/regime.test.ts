import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/support/errors.ts";
import { BASE_REGIMES, overrideRegime } from "../../src/train/base-regimes.ts";
import {
  hyperparametersAt,
  learningRateTable,
  meanMomentumGain,
  planRegime,
  type Regime,
  type RegimeOptions,
} from "../../src/train/regime.ts";
import { plan, ratesAt, SAMPLES } from "../support/planned-regime.ts";

test("changes that round to the same step all happen, in order, each at its own step", () => {
  const squeezed = planRegime({
    base: {
      name: "squeezed",
      batchSize: 128,
      epochs: 1,
      entries: [
        { epoch: 0, learningRate: 0.1, momentum: 0.9, weightDecay: 0 },
        { epoch: 0.02, learningRate: 0.01 },
        { epoch: 0.04, learningRate: 0.001 },
      ],
    },
    batchSize: 128,
    referenceBatchSize: 128,
    stepsPerEpoch: 8,
  });
  expect(squeezed.phases.map(({ step, learningRate }) => [step, learningRate])).toEqual([
    [0, 0.1],
    [1, 0.01],
    [2, 0.001],
  ]);
  expect(hyperparametersAt(squeezed, 0).learningRate).toBe(0.1);
});

describe("learning-rate rules", () => {
  const rate = (options: Partial<RegimeOptions>) =>
    hyperparametersAt(plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { batchSize: 4096, ...options }), 0)
      .learningRate;

  test("scale by the batch divided by the given reference", () => {
    expect(rate({ rule: "none" })).toBe(0.1);
    expect(rate({ rule: "sqrt" })).toBeCloseTo(0.1 * Math.sqrt(32), 12);
    expect(rate({ rule: "linear" })).toBeCloseTo(3.2, 12);
    expect(rate({ rule: "sqrt", referenceBatchSize: 256 })).toBeCloseTo(0.4, 12);
    expect(rate({ rule: "sqrt", batchSize: 128 })).toBe(0.1);
  });

  test("a warm-up rises from the base rate step by step, and drops apply during it", () => {
    const options = { batchSize: 4096, rule: "linear" } as const;
    const warm = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { ...options, warmup: { epochs: 5 } });
    expect(warm.warmupSteps).toBe(65);
    expect(hyperparametersAt(warm, 0).learningRate).toBeCloseTo(0.1, 12);
    expect(hyperparametersAt(warm, 13).learningRate).toBeCloseTo(0.1 + (3.2 - 0.1) / 5, 12);
    expect(hyperparametersAt(warm, 65).learningRate).toBeCloseTo(3.2, 12);

    const long = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { ...options, warmup: { steps: 90 * 13 } });
    const before = hyperparametersAt(long, 81 * 13 - 1).learningRate;
    const after = hyperparametersAt(long, 81 * 13).learningRate;
    expect(after / before).toBeCloseTo(0.1, 3);
    expect(hyperparametersAt(long, 90 * 13).learningRate).toBeCloseTo(0.32, 12);
  });
});

describe("momentum reset", () => {
  /** Mean of v/g over the second epoch with a constant gradient, simulated like the optimizer. */
  function simulatedGain(regime: Regime): number {
    let [velocity, sum] = [0, 0];
    for (let step = 0; step < 2 * regime.stepsPerEpoch; step++) {
      const { momentum, resetMomentum } = hyperparametersAt(regime, step);
      velocity = (resetMomentum ? 0 : momentum * velocity) + 1;
      if (step >= regime.stepsPerEpoch) sum += velocity;
    }
    return sum / regime.stepsPerEpoch;
  }

  test("as released, it costs half of the momentum at 13 steps per epoch and little at 391", () => {
    for (const [batchSize, gain] of [
      [4096, 4.84],
      [128, 9.77],
    ]) {
      const regime = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { batchSize, momentumReset: "epoch" });
      expect(simulatedGain(regime)).toBeCloseTo(gain, 2);
      expect(meanMomentumGain(0.9, regime.stepsPerEpoch)).toBeCloseTo(simulatedGain(regime), 10);
    }
  });

  test("is off by default", () => {
    const regime = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, {});
    expect(regime.momentumReset).toBe("never");
    expect(simulatedGain(regime)).toBeCloseTo(10, 6);
  });
});

describe("options", () => {
  test("overrides keep the shape of the schedule", () => {
    const base = overrideRegime(BASE_REGIMES.alexnet, {
      learningRate: 0.02,
      momentum: 0.5,
      weightDecay: 1e-3,
      epochs: 20,
    });
    const regime = plan(base, SAMPLES.imagenet, {});
    expect(ratesAt(regime, [0, 10, 15])).toEqual([0.02, 0.01, 0.002]);
    expect(regime.phases.every(({ momentum, weightDecay }) => momentum === 0.5 && weightDecay === 1e-3)).toBe(
      true,
    );
    expect(regime.totalEpochs).toBe(20);
    expect(overrideRegime(BASE_REGIMES.f1, {})).toEqual(BASE_REGIMES.f1);
  });

  test("a limit on the steps ends the run and drops later phases", () => {
    const regime = plan(BASE_REGIMES.f1, SAMPLES.mnist, { maxSteps: 469 * 10 });
    expect(regime.totalSteps).toBe(4690);
    expect(regime.phases).toHaveLength(1);
  });

  test("impossible numbers are refused by name", () => {
    const base = BASE_REGIMES.f1;
    const refused = (options: Partial<RegimeOptions>, message: RegExp) => {
      const run = () =>
        planRegime({ base, batchSize: 128, referenceBatchSize: 128, stepsPerEpoch: 469, ...options });
      expect(run).toThrow(UsageError);
      expect(run).toThrow(message);
    };
    refused({ batchSize: 0 }, /^batch size: .* got 0$/);
    refused({ referenceBatchSize: Number.NaN }, /^reference batch size/);
    refused({ maxSteps: 0.5 }, /^maximum of steps/);
    refused({ warmup: { epochs: -1 } }, /^warm-up/);
    refused({ adaptation: "iteration-matched" }, /^steps per epoch at the reference batch/);
    refused(
      { base: overrideRegime(base, { learningRate: -1 }) },
      /epoch 0: .* learning rate above 0, got -1$/,
    );
    refused({ base: overrideRegime(base, { momentum: 1 }) }, /momentum/);
    refused({ base: overrideRegime(base, { weightDecay: Number.POSITIVE_INFINITY }) }, /weight decay/);
    refused({ base: overrideRegime(base, { epochs: 0 }) }, /epochs/);
    refused({ base: { ...base, entries: [{ epoch: 1, learningRate: 1 }] } }, /first entry/);
    refused({ base: { ...base, entries: [base.entries[0], base.entries[0]] } }, /ascending/);
  });
});

test("the learning-rate table shows where the rates come from and when they change", () => {
  const regime = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, {
    batchSize: 4096,
    rule: "sqrt",
    adaptation: "exact",
    momentumReset: "epoch",
  });
  expect(learningRateTable(regime)).toEqual([
    "regime resnet44, adaptation exact: epochs × 32, 13 steps per epoch",
    "learning-rate rule sqrt, reference batch 128: rates × √(4096 / 128) = 5.65685",
    "momentum reset every epoch: mean gain 4.83668 instead of 10",
    "  step  epoch  learning rate  momentum  weight decay",
    "     0      0       0.565685       0.9        0.0001",
    "33,696   2592      0.0565685       0.9        0.0001",
    "41,600   3200            end",
  ]);
});
