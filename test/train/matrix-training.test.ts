// ResNet8 in mixed precision on subgroup matrices: compared with the wide kernels, and twice with the same bits.

import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import { limitMs } from "../support/limits.ts";
import { type SmallRunOptions, trainSmall } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const RUN: SmallRunOptions = {
  ...{ network: "resnet8", precision: "mixed", batchSize: 16, ghostSize: 8, maxSteps: 3 },
};

async function train(variant: "wide" | "matrix") {
  gpu.variant = variant;
  const { state, events, trainer } = await trainSmall(gpu, RUN);
  const steps = events.flatMap((event) => (event.kind === "metrics" ? event.steps : []));
  return { weights: await readFloats(state.values), steps, plan: trainer.plan };
}

test("three steps: the losses of the wide kernels except for the rounding of weights, and the same bits twice", {
  timeout: limitMs(300_000),
}, async () => {
  const wide = await train("wide");
  const matrix = await train("matrix");
  const again = await train("matrix");
  expect(matrix.weights).toEqual(again.weights);
  expect(matrix.weights).not.toEqual(wide.weights);
  expect(matrix.steps).toHaveLength(3);
  for (const [i, { loss, gradientNorm }] of matrix.steps.entries()) {
    // Weights are rounded to 11 bits, as activations are in both. A gradient differs more if a ReLU passes it in only one of them.
    expect(Math.abs(loss / wide.steps[i]!.loss - 1)).toBeLessThan(0.01);
    expect(Math.abs(gradientNorm / wide.steps[i]!.gradientNorm - 1)).toBeLessThan(0.05);
  }
});
