// A small residual network: the same step for every slab size, the same evaluation for every batch.

import { beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { createModel } from "../../src/models/create-model.ts";
import { type ModelState, materialize } from "../../src/nn/model-state.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, persistent, readFloats } from "../../src/tensor/tensor.ts";
import { partitionBatch } from "../../src/train/ghosts.ts";
import { StepUniform } from "../../src/train/step-uniform.ts";
import { trainingStep } from "../../src/train/training-step.ts";

const IMAGE = { channels: 3, height: 8, width: 8, classes: 10 };
const BATCH = 12;
const PIXELS = 3 * 8 * 8;
const random = randomData(5);
const images = random.normals(BATCH * PIXELS);
const labels = Uint32Array.from(random.integers(BATCH, 10));

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

/** Three steps on one batch of ghosts of 5, 5 and 2 images, in slabs of at most so many images. */
async function trained(slabSamples: number): Promise<ModelState> {
  const layout = partitionBatch({
    samples: BATCH,
    batchSize: BATCH,
    ghostSize: 5,
    policy: "exact",
    pixels: 4,
  });
  const state = materialize(gpu, createModel("resnet8", IMAGE), { seed: 1, maximumGhosts: layout.ghosts });
  const step = new StepUniform(gpu);
  const log = persistent(gpu, [1, 8]);
  for (let t = 0; t < 3; t++) {
    const still = { seed: 0, epoch: 0, firstSample: 0 };
    step.write({ ...still, learningRate: 0.05, momentum: 0.9, weightDecay: 1e-4, clipNorm: 5, step: t });
    gpu.scope(() =>
      trainingStep(state, { step: step.tensor, log }, layout, {
        slabSamples,
        running: { rule: "sequential", momentum: 0.1 },
        input: ({ firstSample, total }) => ({
          x: fromArray(gpu, images.slice(firstSample * PIXELS, (firstSample + total) * PIXELS), [
            total,
            3,
            8,
            8,
          ]),
          labels: fromArray(gpu, labels.slice(firstSample, firstSample + total), [total]),
        }),
      }),
    );
  }
  return state;
}

test("unequal ghosts in one, two or three slabs: the same weights and statistics", async () => {
  const [whole, ...cut] = [await trained(BATCH), await trained(10), await trained(5)];
  const expected = await readFloats(whole!.values);
  const moved = await readFloats(whole!.start);
  expect(expected.some((value, i) => Math.abs(value - moved[i]!) > 0.01)).toBe(true);
  const variance = await readFloats(whole!.normState!.runningVariance);
  for (const state of cut) {
    const values = await readFloats(state.values);
    // 1e-5 of the largest weight: gamma, about 1.
    expect(Math.max(...values.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(1e-5);
    const other = await readFloats(state.normState!.runningVariance);
    expect(Math.max(...other.map((value, i) => Math.abs(value / variance[i]! - 1)))).toBeLessThan(1e-4);
  }
});

test("evaluation of an image does not depend on the rest of its batch", async () => {
  const { model } = await trained(BATCH);
  const logits = async (first: number, count: number) => {
    const x = fromArray(gpu, images.slice(first * PIXELS, (first + count) * PIXELS), [count, 3, 8, 8]);
    return readFloats(gpu.scope(() => model.forward(x, { kind: "eval" })));
  };
  const together = await logits(0, BATCH);
  const alone = await logits(7, 1);
  for (const [k, value] of alone.entries()) expect(Math.abs(value - together[70 + k]!)).toBeLessThan(1e-5);
});
