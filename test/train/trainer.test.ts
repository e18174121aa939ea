// The training loop against a float64 one, and what must not depend on memory, slabs or evaluation batches.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { resetVelocity } from "../../src/nn/model-state.ts";
import { loadStateDict, stateDict } from "../../src/nn/state-dict.ts";
import { DeviceError } from "../../src/support/errors.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import { planRegime } from "../../src/train/regime.ts";
import { type TrainEvent, Trainer, type TrainOptions } from "../../src/train/trainer.ts";
import { stateDict as referenceState } from "../support/model-reference.ts";
import { createReferenceF1, type ReferenceModel } from "../support/reference-networks.ts";
import { referenceRun } from "../support/reference-run.ts";
import { type SmallRun, smallRun, trainSmall } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const BATCH = 64;
const PIXELS = 49;
const CLASSES = 4;

const AUGMENTATION = { padding: 1, padValue: 99, flip: true };

// Two drops and a change of momentum within the few steps of these runs.
const BASE = {
  name: "test",
  batchSize: BATCH,
  epochs: 100,
  entries: [
    { epoch: 0, learningRate: 0.1, momentum: 0.9, weightDecay: 0.01 },
    { epoch: 1, learningRate: 0.04 },
    { epoch: 2, learningRate: 0.02, momentum: 0.5 },
  ],
};

describe("a run agrees with the float64 run, for each policy for partial batches", () => {
  test.each([
    ["authors", "sequential", "epoch", 3, false],
    ["exact", "mean", "never", 3, true],
    ["drop", "full", "epoch", 2, false],
    ["wrap", "mean", "never", 3, true], // its last batch ends with the first samples of the next epoch
  ] as const)(
    "%s, running rule %s, momentum reset %s, %i steps an epoch, augmented %s",
    async (partial, rule, momentumReset, stepsPerEpoch, augmentation) => {
      const plain = smallRun(gpu, { partial, batchSize: BATCH, ghostSize: 24 });
      const run = { ...plain, data: { ...plain.data, augmentation: AUGMENTATION } };
      const { epoch } = run.options;
      expect(epoch.stepsPerEpoch).toBe(stepsPerEpoch);
      const maxSteps = 2 * stepsPerEpoch + 1;
      const regime = planRegime({
        base: BASE,
        batchSize: BATCH,
        referenceBatchSize: BATCH,
        stepsPerEpoch,
        momentumReset,
        maxSteps,
      });
      const options: TrainOptions = {
        ...run.options,
        regime,
        running: { rule, momentum: 0.1 },
        augmentation,
        clipNorm: 1,
        logEvery: 2,
      };

      const reference = createReferenceF1(
        { inputs: PIXELS, width: 24, hiddenLayers: 2, classes: CLASSES },
        11,
      );
      await loadReference(run, reference);
      const expected = await referenceRun(run.data, reference, options);
      const { events } = await collect(await Trainer.create(gpu, run.state, run.data, options));

      const steps = events.flatMap((event) => (event.kind === "metrics" ? event.steps : []));
      expect(steps.map(({ step }) => step)).toEqual(expected.steps.map(({ step }) => step));
      for (const [i, { loss, gradientNorm, learningRate, accuracy }] of expected.steps.entries()) {
        expect(steps[i]!.loss / loss).toBeCloseTo(1, 4);
        expect(steps[i]!.gradientNorm / gradientNorm).toBeCloseTo(1, 3);
        expect(steps[i]!.learningRate).toBeCloseTo(learningRate, 7);
        expect(steps[i]!.accuracy).toBeCloseTo(accuracy, 3);
      }
      const evaluations = events.flatMap((event) => (event.kind === "evaluation" ? [event] : []));
      expect(evaluations.map(({ step }) => step)).toEqual(expected.evaluations.map(({ step }) => step));
      for (const [i, { loss, accuracy }] of expected.evaluations.entries()) {
        expect(evaluations[i]!.loss / loss).toBeCloseTo(1, 3);
        expect(evaluations[i]!.accuracy).toBeCloseTo(accuracy, 3);
      }
      const { distanceFirst, distanceAll } = events
        .flatMap((event) => (event.kind === "metrics" ? event.distances : []))
        .at(-1)!;
      expect(distanceFirst / expected.distanceFirst).toBeCloseTo(1, 3);
      expect(distanceAll / expected.distanceAll).toBeCloseTo(1, 3);
      const final = await stateDict(run.state);
      for (const [name, values] of referenceState(reference)) {
        const { data } = final.get(name)!;
        const difference = Math.hypot(...values.map((value, i) => value - data[i]!));
        expect(difference / Math.hypot(...values), name).toBeLessThan(1e-4);
      }
    },
  );
});

/** Loads the reference's values into the engine. */
async function loadReference({ state }: SmallRun, reference: ReferenceModel): Promise<void> {
  const own = await stateDict(state);
  const values = [...referenceState(reference)].map(
    ([name, data]) => [name, { shape: own.get(name)!.shape, data: Float32Array.from(data) }] as const,
  );
  await loadStateDict(state, new Map(values), "reference");
}

async function collect(trainer: Trainer) {
  const events: TrainEvent[] = [];
  for await (const event of trainer.run()) events.push(event);
  return { trainer, events };
}

describe("a seed", () => {
  test("gives the same bits twice, and another seed gives different ones", async () => {
    const runs = [];
    for (const seed of [5, 5, 6]) {
      const { state, events } = await trainSmall(gpu, { seed });
      runs.push({
        events,
        tensors: await Promise.all(
          [state.values, state.velocity, state.normState!.runningVariance].map(readFloats),
        ),
      });
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[2]!.tensors[0]).not.toEqual(runs[0]!.tensors[0]);
    expect(runs[2]!.events).not.toEqual(runs[0]!.events);
  });
});

describe("memory", () => {
  test("too little for a whole batch: the trainer uses slabs, with the same result", async () => {
    const whole = await trainSmall(gpu, { ghostSize: 8 });
    expect(whole.trainer.slabSamples).toBe(BATCH);
    const start = await readFloats(whole.state.start);
    const moved = async ({ state }: { state: SmallRun["state"] }) =>
      (await readFloats(state.values)).map((value, i) => value - start[i]!);
    const expected = await moved(whole);
    for (const share of [0.9, 0.5]) {
      const cut = await trainSmall(gpu, {
        ghostSize: 8,
        memoryBytes: Math.floor(share * whole.trainer.plan.bytes),
      });
      expect(cut.trainer.slabSamples).toBeLessThan(BATCH);
      expect(cut.trainer.plan.bytes).toBeLessThanOrEqual(share * whole.trainer.plan.bytes);
      const difference = Math.hypot(...(await moved(cut)).map((value, i) => value - expected[i]!));
      expect(difference / Math.hypot(...expected)).toBeLessThan(1e-5);
      const [a, b] = [whole.events.at(-1)!, cut.events.at(-1)!];
      expect(b).toMatchObject({ kind: "evaluation", accuracy: (a as { accuracy: number }).accuracy });
    }
  });

  test("too little for one ghost: an error before anything is trained", async () => {
    const { state, data, options } = smallRun(gpu, { memoryBytes: 1000 });
    const before = await readFloats(state.values);
    const creating = Trainer.create(gpu, state, data, options);
    await expect(creating).rejects.toThrow(DeviceError);
    await expect(creating).rejects.toThrow(
      /one ghost of 16 at a time needs .*, but 1000 B are allowed: no ghost size fits: use a smaller model/,
    );
    expect(await readFloats(state.values)).toEqual(before);
  });
});

test("evaluation does not depend on its batches, on ghosts or on slabs", async () => {
  const { state, events } = await trainSmall(gpu, { maxSteps: 6, maximumGhosts: 32 });
  const trained = events.at(-1) as Extract<TrainEvent, { kind: "evaluation" }>;
  for (const [evaluationBatch, ghostSize, memoryBytes] of [
    [1, 16, 2 ** 30],
    [5, 64, 2 ** 30],
    [37, 2, 100_000],
    [37, 2, 20_000], // too little for a batch of 37
  ] as const) {
    const { data, options } = smallRun(gpu, { ghostSize, memoryBytes });
    const { loss, accuracy, accuracyTop5, samples } = await (
      await Trainer.create(gpu, state, data, { ...options, evaluationBatch })
    ).evaluate();
    expect({ accuracy, accuracyTop5, samples }).toEqual({
      accuracy: trained.accuracy,
      accuracyTop5: trained.accuracyTop5,
      samples: 37,
    });
    expect(Math.abs(loss / trained.loss - 1)).toBeLessThan(1e-5);
  }
});

test("a momentum reset sets the velocity to 0 when an epoch begins", async () => {
  const finals: Float32Array[][] = [];
  for (const how of ["reset", "by hand", "never"] as const) {
    const run = smallRun(gpu, { partial: "drop", maxSteps: 6 });
    const momentumReset = how === "reset" ? "epoch" : "never";
    const regime = planRegime({
      base: BASE,
      batchSize: BATCH,
      referenceBatchSize: BATCH,
      stepsPerEpoch: 2,
      momentumReset,
      maxSteps: 6,
    });
    const trainer = await Trainer.create(gpu, run.state, run.data, { ...run.options, regime });
    for await (const event of trainer.run()) {
      // After an epoch's evaluation the next epoch has not begun.
      if (how === "by hand" && event.kind === "evaluation" && event.step < 6) resetVelocity(run.state);
    }
    finals.push(await Promise.all([run.state.values, run.state.velocity].map(readFloats)));
  }
  expect(finals[0]).toEqual(finals[1]);
  expect(finals[0]![0]).not.toEqual(finals[2]![0]);
});
