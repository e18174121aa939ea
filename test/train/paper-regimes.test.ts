// The regimes of the paper's runs: rates, boundaries and adaptation.

import { describe, expect, test } from "vitest";
import { BASE_REGIMES, type BaseRegime, overrideRegime } from "../../src/train/base-regimes.ts";
import { hyperparametersAt } from "../../src/train/regime.ts";
import { plan, ratesAt, SAMPLES } from "../support/planned-regime.ts";

describe("the paper's runs", () => {
  // Steps and epochs of the other columns: test/paper/full-scale.test.ts.
  test.each([
    ["f1", SAMPLES.mnist, 4096, 23_450],
    ["c1", SAMPLES.cifar, 4096, 78_200],
    ["c3", SAMPLES.cifar, 4096, 78_200],
    ["resnet44", SAMPLES.cifar, 4096, 39_100],
    ["wresnet16-4", SAMPLES.cifar, 4096, 78_200],
    ["vgg", SAMPLES.cifar, 4096, 78_200],
    ["alexnet", SAMPLES.imagenet, 8192, 150_150],
    ["f1-small", 4096, 1024, 1536],
  ] as const)(
    "%s, %i samples: iteration-matched at a batch of %i takes the %i steps of the small batch",
    (name, samples, batchSize, steps) => {
      const base: BaseRegime = BASE_REGIMES[name];
      expect(plan(base, samples, {}).totalSteps).toBe(steps);
      expect(plan(base, samples, { batchSize, adaptation: "iteration-matched" }).totalSteps).toBe(steps);
    },
  );

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
