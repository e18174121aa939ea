// What a training step of the paper's networks needs: dispatches, bytes, and no more bindings than a browser allows.

import { afterEach, beforeAll, expect, test } from "vitest";
import { prepareStep, recordStep } from "../../src/bench/step.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { planRecording } from "../../src/gpu/recording.ts";
import { runnableVariants, type Variant } from "../../src/gpu/variant.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";

let gpu: Gpu;
let own: Variant;
beforeAll(async () => {
  gpu = await openGpu();
  own = gpu.variant;
});
afterEach(() => {
  gpu.variant = own;
});

/** Storage buffers that every WebGPU adapter binds to a shader (limits of the specification). */
const DEFAULT_STORAGE_BUFFERS = 8;

function step(variant: Variant, model: string, ghostSize: number) {
  return gpu.lifetime(async () => {
    gpu.variant = variant;
    const { recording } = await recordStep(gpu, { model, batch: 128, ghostSize });
    const files = recording.dispatches.map(({ command }) => command.kernel.file);
    const buffers = recording.dispatches.map(({ command: { kernel } }) => {
      const kinds = gpu.pipelines.shader(kernel).bindings.map(({ kind }) => kind);
      return kinds.filter((kind) => kind !== "uniform").length;
    });
    return { files, buffers };
  });
}

test.each(["f1", "c1", "resnet8"])(
  "%s binds no more storage buffers than a browser allows",
  async (model) => {
    for (const variant of runnableVariants(gpu)) {
      const { files, buffers } = await step(variant, model, 32);
      const tooMany = files.filter((_, i) => buffers[i]! > DEFAULT_STORAGE_BUFFERS);
      expect([variant, ...tooMany]).toEqual([variant]);
      expect(Math.max(...buffers)).toBeGreaterThan(4); // they were counted
    }
  },
);

test("the number of dispatches does not depend on ghosts, and one dispatch adds up the gradients of all layers", async () => {
  for (const model of ["f1", "resnet8"]) {
    const [one, four] = [await step(own, model, 128), await step(own, model, 32)];
    expect(four.files.length).toBe(one.files.length);
    expect(one.files.filter((file) => file === "reduce/sum-segments.wgsl").length).toBe(1);
  }
});

test.each([
  { model: "resnet44", batch: 128, ghostSize: 128, most: 283 },
  { model: "resnet44", batch: 128, ghostSize: 32, most: 283 },
  { model: "f1", batch: 128, ghostSize: 128, most: 36 },
  { model: "f1", batch: 512, ghostSize: 128, most: 36 }, // products with few enough tiles for teams, and partial sums
  { model: "f1", batch: 4096, ghostSize: 128, most: 36 },
  { model: "f1", batch: 4096, ghostSize: 4096, most: 36 },
  { model: "f1", batch: 1024, ghostSize: 17, most: 36 }, // ghosts that do not divide the batch
])("$model at $batch with ghosts of $ghostSize takes at most $most dispatches", ({ most, ...step }) => {
  for (const variant of runnableVariants(gpu)) {
    gpu.variant = variant;
    expect(planRecording(gpu, prepareStep(gpu, step).body).dispatches, variant).toBeLessThanOrEqual(most);
  }
});

test("a wide ResNet44 step of 128 images moves 12 % less than the 3772 MB of its first kernels", () => {
  gpu.variant = "wide";
  const { cost } = planRecording(
    gpu,
    prepareStep(gpu, { model: "resnet44", batch: 128, ghostSize: 128 }).body,
  );
  expect(cost.bytes).toBeLessThanOrEqual(0.88 * 3772e6);
});
