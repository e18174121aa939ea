// One and several training steps of F1 against float64: gradients of a whole network with unequal ghosts, clipping, SGD and running
// statistics, for any slabs.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import type { RunningRule } from "../../src/kernels/ghost-batch-norm.ts";
import { F1 } from "../../src/models/f1.ts";
import { type ModelState, materialize } from "../../src/nn/model-state.ts";
import { loadStateDict, stateDict } from "../../src/nn/state-dict.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { type PartialPolicy, type PlannedLayout, partitionBatch } from "../../src/train/ghosts.ts";
import { IDLE_STEP, StepUniform } from "../../src/train/step-uniform.ts";
import { trainingStep } from "../../src/train/training-step.ts";
import {
  lossAndGradients,
  stateDict as referenceState,
  trainingStep as referenceStep,
} from "../support/model-reference.ts";
import { poisonAllocations, VARIANTS } from "../support/op-run.ts";
import { createReferenceF1, type ReferenceModel } from "../support/reference-networks.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

const INPUTS = 49; // 7 × 7
const CLASSES = 10;

/** The engine's F1 and the reference's, with the same values. */
async function twins(width: number, hiddenLayers: number) {
  const reference = createReferenceF1({ inputs: INPUTS, width, hiddenLayers, classes: CLASSES }, 7);
  const model = new F1({ inputs: INPUTS, classes: CLASSES, width, hidden: hiddenLayers });
  const state = materialize(gpu, model, { seed: 0, maximumGhosts: 32 });
  await loadStateDict(state, float32(reference), "reference");
  return { reference, state };
}

function float32(reference: ReferenceModel) {
  const shapes = new Map([...reference.parameters].map(([name, { shape }]) => [name, shape]));
  return new Map(
    [...referenceState(reference)].map(([name, data]) => [
      name,
      { shape: shapes.get(name) ?? [data.length], data: Float32Array.from(data) },
    ]),
  );
}

interface StepSettings {
  readonly slabSamples?: number;
  readonly rule?: RunningRule;
  readonly learningRate?: number;
  readonly clipNorm?: number;
  readonly weightDecay?: number;
}

/** Runs training steps on given batches. */
function trainer(state: ModelState, layout: PlannedLayout, settings: StepSettings = {}) {
  const {
    slabSamples = layout.total,
    rule = "sequential",
    learningRate = 0.05,
    clipNorm = 0,
    weightDecay = 0,
  } = settings;
  const log = fromArray(gpu, new Float32Array(8), [1, 8]);
  const step = new StepUniform(gpu);
  return async (batch: { x: Float32Array<ArrayBuffer>; labels: Uint32Array<ArrayBuffer> }) => {
    // Slabs begin at offsets that bindings do not allow, so each gets a copy of its part.
    const input = ({ firstSample, total }: { firstSample: number; total: number }) => ({
      x: fromArray(gpu, batch.x.slice(firstSample * INPUTS, (firstSample + total) * INPUTS), [
        total,
        1,
        7,
        7,
      ]),
      labels: fromArray(gpu, batch.labels.slice(firstSample, firstSample + total)),
    });
    step.write({ ...IDLE_STEP, learningRate, momentum: 0.9, weightDecay, clipNorm });
    gpu.scope(() =>
      trainingStep(state, { step: step.tensor, log }, layout, {
        slabSamples,
        running: { rule, momentum: 0.1 },
        input,
      }),
    );
    const [loss, , , samples, gradientNorm, clipCoefficient] = await readFloats(log);
    return { loss: loss!, samples: samples!, gradientNorm: gradientNorm!, clipCoefficient: clipCoefficient! };
  };
}

function batchOf(N: number, seed: number) {
  const data = randomData(seed);
  return { x: data.normals(N * INPUTS), labels: Uint32Array.from(data.integers(N, CLASSES)) };
}

const ghostsOf = (samples: number, ghostSize: number, policy: PartialPolicy) =>
  partitionBatch({ samples, batchSize: samples, ghostSize, policy });
const averagingOf = (policy: PartialPolicy) => (policy === "authors" ? "ghosts" : "samples");

/** ‖actual − expected‖ / ‖expected‖ over all tensors together. */
function relativeError(pairs: Iterable<readonly [ArrayLike<number>, ArrayLike<number>]>): number {
  let difference = 0;
  let size = 0;
  for (const [actual, expected] of pairs) {
    expect(actual.length).toBe(expected.length);
    for (let i = 0; i < expected.length; i++) {
      difference += (actual[i]! - expected[i]!) ** 2;
      size += expected[i]! ** 2;
    }
  }
  return Math.sqrt(difference / size);
}

// 36 channels use the kernels for dense layers, 37 the general ones.
describe.each(VARIANTS)("the gradient of F1, %s kernels", (variant) => {
  test.each([
    [36, "exact", "7, 7, 8"],
    [37, "exact", "7, 7, 8"],
    [36, "authors", "8, 8, 6"],
  ] as const)("width %i, %s: ghosts of %s", async (width, policy, _) => {
    gpu.variant = variant;
    const { reference, state } = await twins(width, 5);
    const layout = ghostsOf(22, 7, policy);
    const { ghostSize, ghosts } = layout;
    const batch = batchOf(22, 3);
    const expected = lossAndGradients(reference, batch, {
      ghostSize,
      ghosts,
      averaging: averagingOf(policy),
    });
    const { loss } = await trainer(state, layout)(batch);
    expect(Math.abs(loss / expected.loss - 1)).toBeLessThan(1e-6);
    const names = [...reference.parameters.keys()]; // in the order of the engine's
    const pairs: [Float32Array, Float64Array][] = [];
    for (const [index, [, { value }]] of state.parameters.entries()) {
      const gradient = expected.gradients.get(names[index]!)!;
      pairs.push([await readFloats(value.gradient!), gradient]);
      // The exact gradient of a bias before a batch norm is 0. All others agree one by one too.
      const isBiasBeforeNorm = names[index]!.endsWith("bias") && index % 4 === 1 && index < names.length - 1;
      if (!isBiasBeforeNorm) expect(relativeError([pairs.at(-1)!]), names[index]).toBeLessThan(1e-4);
    }
    expect(relativeError(pairs)).toBeLessThan(2e-5);
  });
});

describe("whole steps: forward, backward, clip, weight decay, momentum, running statistics", () => {
  const STEPS = 6;
  test.each([
    ["exact", "sequential", 22, 22],
    ["exact", "full", 22, 8], // a slab for each ghost
    ["authors", "mean", 22, 16],
    ["authors", "sequential", 30, 16],
  ] as const)(
    "%s ghosts, running rule %s, %i samples in slabs of %i",
    async (policy, rule, samples, slabSamples) => {
      gpu.variant = "narrow";
      const { reference, state } = await twins(36, 2);
      const start = referenceState(reference);
      const before = new Map([...start].map(([name, data]) => [name, data.slice()]));
      const layout = ghostsOf(samples, 7, policy);
      const { ghostSize, ghosts } = layout;
      const settings = { learningRate: 0.05, weightDecay: 0.01, clipNorm: 0.5 };
      const step = trainer(state, layout, { ...settings, rule, slabSamples });
      const velocity = new Float64Array(
        [...reference.parameters.values()].reduce((sum, { data }) => sum + data.length, 0),
      );
      let clipped = 0;
      for (let t = 0; t < STEPS; t++) {
        const batch = batchOf(samples, 100 + t);
        const options = {
          lr: settings.learningRate,
          momentum: 0.9,
          weightDecay: settings.weightDecay,
          clipNorm: settings.clipNorm,
        };
        const expected = referenceStep(reference, velocity, batch, {
          ...options,
          ghostSize,
          ghosts,
          averaging: averagingOf(policy),
          rule,
        });
        const actual = await step(batch);
        expect(Math.abs(actual.loss / expected.loss - 1)).toBeLessThan(1e-5);
        expect(Math.abs(actual.gradientNorm / expected.gradientNorm - 1)).toBeLessThan(1e-4);
        expect(actual.samples).toBe(samples);
        if (actual.clipCoefficient < 1) clipped++;
      }
      expect(clipped).toBeGreaterThan(0);
      const final = await stateDict(state);
      const expected = referenceState(reference);
      expect([...final.keys()].sort()).toEqual([...expected.keys()].sort());
      for (const kind of ["parameters", "running_mean", "running_var"]) {
        const names = [...final.keys()].filter((name) =>
          kind === "parameters" ? !name.includes("running_") : name.endsWith(kind),
        );
        // Compare the changes, so that a missing update is an error of 1.
        const moved = names.map((name) => {
          const from = before.get(name)!;
          const difference = (values: ArrayLike<number>) =>
            Float64Array.from(from, (value, i) => values[i]! - value);
          return [difference(final.get(name)!.data), difference(expected.get(name)!)] as const;
        });
        expect(relativeError(moved), kind).toBeLessThan(1e-4);
      }
    },
  );
});

test("slabs of one, two and all ghosts give the same weights", async () => {
  gpu.variant = "narrow";
  const layout = ghostsOf(40, 8, "exact");
  const results: Float32Array[] = [];
  for (const slabSamples of [40, 16, 8]) {
    const { state } = await twins(36, 3);
    const step = trainer(state, layout, { slabSamples, clipNorm: 5, weightDecay: 1e-4 });
    for (let t = 0; t < 5; t++) await step(batchOf(40, t));
    results.push(await readFloats(state.values));
    expect((await readFloats(state.values)).some((value, i) => value !== results[0]![i])).toBe(
      slabSamples !== 40,
    ); // they were cut
  }
  for (const cut of results.slice(1)) expect(relativeError([[cut, results[0]!]])).toBeLessThan(1e-5);
});

describe("ghosts", () => {
  const N = 24;
  const forward = async (x: Float32Array<ArrayBuffer>, ghostSize: number) => {
    const { state } = await twins(36, 1);
    const layout = ghostsOf(x.length / INPUTS, ghostSize, "exact");
    const mode = {
      kind: "train",
      ghosts: { ...layout, firstGhost: 0 },
      firstSample: 0,
      step: new StepUniform(gpu).tensor,
    } as const;
    return (await readFloats(
      state.model.forward(fromArray(gpu, x, [layout.total, 1, 7, 7]), mode),
    )) as Float32Array<ArrayBuffer>;
  };
  const rows = (x: Float32Array<ArrayBuffer>, order: readonly number[], length: number) =>
    Float32Array.from(
      { length: order.length * length },
      (_, i) => x[order[Math.floor(i / length)]! * length + (i % length)]!,
    );
  const largestDifference = (a: Float32Array, b: ArrayLike<number>) =>
    a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
  const { x } = batchOf(N, 9);
  const straight = Array.from({ length: N }, (_, i) => i);

  test("each ghost is normalized separately", async () => {
    const whole = await forward(x, 6);
    for (let g = 0; g < 4; g++) {
      const alone = await forward(x.slice(6 * g * INPUTS, 6 * (g + 1) * INPUTS), 6);
      expect(largestDifference(alone, whole.subarray(6 * g * CLASSES, 6 * (g + 1) * CLASSES))).toBeLessThan(
        1e-6,
      );
    }
  });

  test("one ghost of the whole batch is plain batch norm; smaller ghosts are not", async () => {
    const { reference } = await twins(36, 1);
    const { logits: expected } = lossAndGradients(reference, batchOf(N, 9), { ghostSize: N });
    expect(largestDifference(await forward(x, N), expected)).toBeLessThan(1e-5);
    expect(largestDifference(await forward(x, 6), expected)).toBeGreaterThan(1e-3);
  });

  test("the order within a ghost does not matter; its members do", async () => {
    const whole = await forward(x, 6);
    const within = straight.map((i) => 6 * Math.floor(i / 6) + ((i + 1) % 6));
    const across = straight.map((i) => (i % 12 === 0 ? i + 6 : i % 12 === 6 ? i - 6 : i)); // exchanges the first samples of each pair of ghosts
    const permuted = await forward(rows(x, within, INPUTS), 6);
    expect(largestDifference(permuted, rows(whole, within, CLASSES))).toBeLessThan(2e-6);
    const mixed = await forward(rows(x, across, INPUTS), 6);
    expect(largestDifference(mixed, rows(whole, across, CLASSES))).toBeGreaterThan(1e-3);
  });
});
