// Multiplicative noise: one factor per row, with mean 1 and the requested deviation, the same for any slabs.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchGradientNoise } from "../../src/kernels/gradient-noise.ts";
import { mean, standardDeviation } from "../../src/support/statistics.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { IDLE_STEP, StepUniform } from "../../src/train/step-uniform.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const K = 3;

/** The factors of rows `first` to `first + rows` of a batch, checked to be the same in every column. */
async function factors(
  rows: number,
  { first = 0, step = 4, seed = 9, deviation = 2 } = {},
): Promise<number[]> {
  const uniform = new StepUniform(gpu);
  uniform.write({ ...IDLE_STEP, seed, step });
  const dlogits = fromArray(
    gpu,
    Float32Array.from({ length: rows * K }, (_, i) => 1 + (i % K)),
    [rows, K],
  );
  launchGradientNoise({ dlogits, step: uniform.tensor }, { deviation, firstSample: first });
  const values = await readFloats(dlogits);
  return Array.from({ length: rows }, (_, n) => {
    const z = values[n * K]!;
    for (let k = 1; k < K; k++) expect(values[n * K + k]! / (1 + k)).toBeCloseTo(z, 5);
    return z;
  });
}

describe("factors", () => {
  test("have mean 1 and the requested deviation", async () => {
    const z = await factors(20_000);
    // The mean of 20,000 scatters by 2 / √20,000 = 0.014, the deviation by 0.01.
    expect(mean(z)).toBeCloseTo(1, 1);
    expect(standardDeviation(z)).toBeCloseTo(2, 1);
    expect(z.filter((value) => value < 0).length / z.length).toBeCloseTo(0.31, 1); // P(N(1, 4) < 0)
  });

  test("of a slab depend on its place in the batch, on the step and on the seed", async () => {
    const whole = await factors(100);
    expect(await factors(37, { first: 63 })).toEqual(whole.slice(63));
    expect(await factors(100, { step: 5 })).not.toEqual(whole);
    expect(await factors(100, { seed: 10 })).not.toEqual(whole);
  });
});
