import { describe, expect, test } from "vitest";
import { UsageError } from "../../src/support/errors.ts";
import { BASE_REGIMES, type BaseRegime, overrideRegime } from "../../src/train/base-regimes.ts";
import { stepsPerEpoch } from "../../src/train/ghosts.ts";
import {
  hyperparametersAt,
  learningRateTable,
  meanMomentumGain,
  planRegime,
  type Regime,
  type RegimeOptions,
} from "../../src/train/regime.ts";

const SAMPLES = { mnist: 60_000, cifar: 50_000, imagenet: 1_281_167 };

/** A run of one of the paper's rows with its partial last batches kept. */
function plan(base: BaseRegime, samples: number, options: Partial<RegimeOptions>): Regime {
  const { batchSize = base.batchSize, referenceBatchSize = base.batchSize } = options;
  const steps = (size: number) => stepsPerEpoch({ samples, batchSize: size, policy: "authors" });
  return planRegime({
    base,
    batchSize,
    referenceBatchSize,
    stepsPerEpoch: steps(batchSize),
    referenceStepsPerEpoch: steps(referenceBatchSize),
    ...options,
  });
}

/** The learning rate on both sides of each change, as [epoch, rate] with epochs of the run. */
function ratesAt(regime: Regime, epochs: number[]): number[] {
  return epochs.map((epoch) => hyperparametersAt(regime, epoch * regime.stepsPerEpoch).learningRate);
}

test("changes that round to one step all come, in their order, each at a step of its own", () => {
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

describe("the paper's runs", () => {
  test("steps and epochs of every row of both tables", () => {
    const rows: [BaseRegime, number, number, number, number, number, number, number][] = [
      // base, N, LB, E, SB steps, LB steps, RA epochs, RA steps
      [BASE_REGIMES.f1, SAMPLES.mnist, 4096, 50, 23_450, 750, 1600, 24_000],
      [BASE_REGIMES.c1, SAMPLES.cifar, 4096, 200, 78_200, 2600, 6400, 83_200],
      [BASE_REGIMES.resnet44, SAMPLES.cifar, 4096, 100, 39_100, 1300, 3200, 41_600],
      [BASE_REGIMES.vgg, SAMPLES.cifar, 4096, 200, 78_200, 2600, 6400, 83_200],
      [BASE_REGIMES.c3, SAMPLES.cifar, 4096, 200, 78_200, 2600, 6400, 83_200],
      [BASE_REGIMES["wresnet16-4"], SAMPLES.cifar, 4096, 200, 78_200, 2600, 6400, 83_200],
      [BASE_REGIMES.alexnet, SAMPLES.imagenet, 4096, 30, 150_150, 9390, 480, 150_240],
      [BASE_REGIMES.alexnet, SAMPLES.imagenet, 8192, 30, 150_150, 4710, 960, 150_720],
      [BASE_REGIMES["f1-small"], 4096, 1024, 12, 1536, 48, 384, 1536],
    ];
    for (const [
      base,
      samples,
      batchSize,
      epochs,
      smallSteps,
      largeSteps,
      adaptedEpochs,
      adaptedSteps,
    ] of rows) {
      const small = plan(base, samples, {});
      const large = plan(base, samples, { batchSize });
      const adapted = plan(base, samples, { batchSize, adaptation: "exact" });
      const matched = plan(base, samples, { batchSize, adaptation: "iteration-matched" });
      expect([base.name, small.totalEpochs, small.totalSteps]).toEqual([base.name, epochs, smallSteps]);
      expect([base.name, large.totalEpochs, large.totalSteps]).toEqual([base.name, epochs, largeSteps]);
      expect([base.name, adapted.totalEpochs, adapted.totalSteps]).toEqual([
        base.name,
        adaptedEpochs,
        adaptedSteps,
      ]);
      expect([base.name, matched.totalSteps]).toEqual([base.name, smallSteps]);
    }
  });

  test("ResNet44 +LR is at 0.56569 until epoch 81 of 100", () => {
    const regime = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { batchSize: 4096, rule: "sqrt" });
    expect(hyperparametersAt(regime, 0).learningRate).toBeCloseTo(0.56569, 5);
    expect(hyperparametersAt(regime, 81 * 13 - 1).learningRate).toBeCloseTo(0.56569, 5);
    expect(hyperparametersAt(regime, 81 * 13).learningRate).toBeCloseTo(0.056569, 6);
    expect(regime.phases.map(({ epoch }) => epoch)).toEqual([0, 81]);
    expect(regime.totalEpochs).toBe(100);
  });

  test("ResNet44 +RA drops at epoch 2592 and ends at 3200", () => {
    const regime = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, {
      batchSize: 4096,
      rule: "sqrt",
      adaptation: "exact",
    });
    expect(regime.phases.map(({ epoch }) => epoch)).toEqual([0, 2592]);
    expect(regime.phases[1].step).toBe(2592 * 13);
    expect(hyperparametersAt(regime, 2592 * 13 - 1).learningRate).toBeCloseTo(0.56569, 5);
    expect(hyperparametersAt(regime, 2592 * 13).learningRate).toBeCloseTo(0.056569, 6);
    expect(regime.totalEpochs).toBe(3200);
  });

  test("iteration-matched puts the drop at the small batch's iteration", () => {
    const regime = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, {
      batchSize: 4096,
      adaptation: "iteration-matched",
    });
    expect(regime.phases[1].step).toBe(81 * 391);
    expect(regime.totalSteps).toBe(39_100);
  });

  test("exact stretches by the ratio itself, ceil by the next whole number", () => {
    const options = { batchSize: 1000, stepsPerEpoch: 50 };
    const exact = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { ...options, adaptation: "exact" });
    const ceil = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { ...options, adaptation: "ceil" });
    expect([exact.stretch, exact.totalSteps]).toEqual([7.8125, 39_063]);
    expect([ceil.stretch, ceil.totalSteps]).toEqual([8, 40_000]);
    expect(ceil.phases[1].epoch).toBe(648);
  });

  test("base rates, momentum and weight decay of each network", () => {
    const rates = {
      f1: [0.1, 0.01, 0.001, 0.0001],
      c1: [0.001, 0.01, 0.001, 0.0001],
      resnet44: [0.1, 0.01, 0.001, 0.0001],
      "wresnet16-4": [0.1, 0.02, 0.004, 0.0001],
      vgg: [0.1, 0.02, 0.004, 0.0008],
    };
    const epochs = {
      f1: [9, 10, 20, 30],
      c1: [59, 60, 120, 180],
      resnet44: [80, 81, 122, 164],
      "wresnet16-4": [59, 60, 120, 140],
      vgg: [59, 60, 120, 160],
    };
    for (const name of Object.keys(rates) as (keyof typeof rates)[]) {
      const regime = plan(overrideRegime(BASE_REGIMES[name], { epochs: 200 }), SAMPLES.cifar, {});
      expect([name, ratesAt(regime, epochs[name])]).toEqual([name, rates[name]]);
    }
    const momenta = Object.entries(BASE_REGIMES).map(([name, base]) => {
      const { momentum, weightDecay } = hyperparametersAt(plan(base, SAMPLES.cifar, {}), 0);
      return [name, momentum, weightDecay];
    });
    expect(momenta).toEqual([
      ["f1", 0.9, 1e-4],
      ["f1-small", 0.9, 1e-4],
      ["cifar-small", 0.9, 1e-4],
      ["c1", 0, 5e-4],
      ["c3", 0, 5e-4],
      ["resnet44", 0.9, 1e-4],
      ["wresnet16-4", 0.9, 1e-4],
      ["vgg", 0.9, 5e-4],
      ["alexnet", 0.9, 5e-4],
    ]);
  });

  test("an entry changes what it names and leaves the rest", () => {
    const regime = plan(BASE_REGIMES.alexnet, SAMPLES.imagenet, {});
    const at = (epoch: number) => hyperparametersAt(regime, epoch * regime.stepsPerEpoch);
    expect(at(14)).toMatchObject({ learningRate: 5e-3, momentum: 0.9, weightDecay: 5e-4 });
    expect(at(15)).toMatchObject({ learningRate: 1e-3, momentum: 0.9, weightDecay: 0 });
    expect(at(29)).toMatchObject({ learningRate: 1e-4, momentum: 0.9, weightDecay: 0 });
  });
});

describe("learning-rate rules", () => {
  const rate = (options: Partial<RegimeOptions>) =>
    hyperparametersAt(plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { batchSize: 4096, ...options }), 0)
      .learningRate;

  test("scale by the batch over the stated reference", () => {
    expect(rate({ rule: "none" })).toBe(0.1);
    expect(rate({ rule: "sqrt" })).toBeCloseTo(0.1 * Math.sqrt(32), 12);
    expect(rate({ rule: "linear" })).toBeCloseTo(3.2, 12);
    expect(rate({ rule: "sqrt", referenceBatchSize: 256 })).toBeCloseTo(0.4, 12);
    expect(rate({ rule: "sqrt", batchSize: 128 })).toBe(0.1);
  });

  test("a warm-up goes from the base rate up, step by step, and drops act on top of it", () => {
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
  /** Mean of v/g over the second epoch of a constant gradient, as the optimizer would do it. */
  function simulatedGain(regime: Regime): number {
    let [velocity, sum] = [0, 0];
    for (let step = 0; step < 2 * regime.stepsPerEpoch; step++) {
      const { momentum, resetMomentum } = hyperparametersAt(regime, step);
      velocity = (resetMomentum ? 0 : momentum * velocity) + 1;
      if (step >= regime.stepsPerEpoch) sum += velocity;
    }
    return sum / regime.stepsPerEpoch;
  }

  test("as released it costs half of the momentum at 13 steps per epoch and little at 391", () => {
    for (const [batchSize, gain] of [
      [4096, 4.84],
      [128, 9.77],
    ]) {
      const regime = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, { batchSize, momentumReset: "epoch" });
      expect(simulatedGain(regime)).toBeCloseTo(gain, 2);
      expect(meanMomentumGain(0.9, regime.stepsPerEpoch)).toBeCloseTo(simulatedGain(regime), 10);
    }
  });

  test("does not happen unless asked for", () => {
    const regime = plan(BASE_REGIMES.resnet44, SAMPLES.cifar, {});
    expect(regime.momentumReset).toBe("never");
    expect(simulatedGain(regime)).toBeCloseTo(10, 6);
  });
});

describe("what a user sets", () => {
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

  test("a limit on the steps cuts the run and the phases after it", () => {
    const regime = plan(BASE_REGIMES.f1, SAMPLES.mnist, { maxSteps: 469 * 10 });
    expect(regime.totalSteps).toBe(4690);
    expect(regime.phases).toHaveLength(1);
  });

  test("numbers that make no regime are refused by name", () => {
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

test("the learning-rate table says where the rates come from and when they change", () => {
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
