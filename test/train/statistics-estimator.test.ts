// Running statistics estimated anew before the last evaluation: nothing is left of their beginning, and nothing else changes.

import { beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { smallRun } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

/** One step at a rate of next to nothing: the network hardly changes, so statistics of any step are those of the end. */
async function trained(reestimateStatistics: number, momentum: number) {
  const { state, data, options } = smallRun(gpu, { batchSize: 150, ghostSize: 50, maxSteps: 1 });
  const phases = options.regime.phases.map((phase) => ({ ...phase, learningRate: 1e-12, weightDecay: 0 }));
  const train = {
    ...options,
    regime: { ...options.regime, phases },
    running: { rule: "mean", momentum } as const,
    augmentation: false,
    reestimateStatistics,
  };
  const trainer = await Trainer.create(gpu, state, data, train);
  for await (const _ of trainer.run()) {
    // Only what is left at the end counts.
  }
  const { runningMean, runningVariance } = state.normState!;
  return {
    values: await readFloats(state.values),
    running: [...(await readFloats(runningMean)), ...(await readFloats(runningVariance))],
  };
}

/** Largest difference, in units of the largest value. */
function difference(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((v, i) => Math.abs(v - b[i]!))) / Math.max(...b.map(Math.abs));
}

test("is independent of what running statistics were, and near one batch's own", async () => {
  const own = await trained(0, 1); // a momentum of 1 keeps the last batch's alone
  const few = await trained(0, 0.01); // mostly mean 0 and variance 1
  const anew = await trained(1, 0.01);
  const mean = await trained(3, 0.01);
  const before = await trained(3, 0.5);
  expect(Array.from(anew.values)).toEqual(Array.from(few.values));
  expect(mean.running).toEqual(before.running);
  expect(difference(few.running, own.running)).toBeGreaterThan(0.1);
  // Other ghosts of the same images.
  expect(difference(anew.running, own.running)).toBeLessThan(0.1);
  expect(difference(mean.running, own.running)).toBeLessThan(0.1);
});
