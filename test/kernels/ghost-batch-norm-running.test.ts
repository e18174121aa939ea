// Running statistics on the GPU against float64.

import { afterAll, describe, expect, test } from "vitest";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchRunningStatistics, type RunningRule } from "../../src/kernels/ghost-batch-norm.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { updateRunningStatistics } from "../../src/reference/running-statistics.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose, roundingBound } from "../support/close.ts";

const gpu = await openGpu();
afterAll(() => gpu.close());
const EPS = 1e-5;

// One kernel for both variants, with different workgroups.
describe.each(["narrow", "wide"] as const)("running statistics, %s", (variant) => {
  const RULES: readonly RunningRule[] = ["sequential", "mean", "full", "composer", "paper-literal"];

  // Two layers side by side: 3 channels with 16 pixels, and 4 without pixels; the last ghost has another size.
  test.each(RULES)("%s follows the reference over three steps", async (rule) => {
    gpu.variant = variant;
    const layers = [
      { C: 3, HW: 16 },
      { C: 4, HW: 1 },
    ];
    const layout = { ghostSize: 6, ghosts: 3, total: 20 };
    const data = randomData(11);
    const columns = 7;
    const pixels = fromArray(gpu, Uint32Array.from([16, 16, 16, 1, 1, 1, 1]));
    const runningMean = fromArray(gpu, data.normals(columns));
    const runningVariance = fromArray(gpu, data.uniforms(columns, 0.5, 2));
    let [oldMean, oldVariance] = [await readFloats(runningMean), await readFloats(runningVariance)];
    for (let step = 0; step < 3; step++) {
      const mean = data.normals(3 * columns, { mean: 1 });
      const variance = data.uniforms(3 * columns, 0.2, 3);
      const pairs = Float32Array.from({ length: 2 * 4 * columns }, (_, i) =>
        i < 2 * 3 * columns ? (i % 2 === 0 ? mean : variance)[i >> 1] : Number.NaN,
      );
      const statistics = fromArray(gpu, pairs, [4, columns, 2]); // one row more than there are ghosts
      launchRunningStatistics(
        { statistics, pixels, runningMean, runningVariance, ghosts: layout },
        { rule, momentum: 0.1 },
      );
      let first = 0;
      const expectedMean = new Float64Array(columns);
      const expectedVariance = new Float64Array(columns);
      for (const { C, HW } of layers) {
        const cut = (of: Float32Array) =>
          Float64Array.from({ length: 3 * C }, (_, i) => of[Math.floor(i / C) * columns + first + (i % C)]);
        const next = updateRunningStatistics(
          {
            mean: cut(mean),
            variance: cut(variance),
            runningMean: oldMean.subarray(first, first + C),
            runningVariance: oldVariance.subarray(first, first + C),
          },
          { N: 20, C, HW, ghostSize: 6, ghosts: 3, rule, momentum: 0.1, eps: EPS },
        );
        expectedMean.set(next.runningMean, first);
        expectedVariance.set(next.runningVariance, first);
        first += C;
      }
      [oldMean, oldVariance] = [await readFloats(runningMean), await readFloats(runningVariance)];
      const bound = roundingBound({ terms: 6, scale: 4 });
      expectClose(oldMean, expectedMean, { bound, label: `${rule} mean, step ${step}` });
      expectClose(oldVariance, expectedVariance, { bound, label: `${rule} variance, step ${step}` });
    }
  });

  // 400 updates with constant statistics.
  test.each([
    ["sequential", 1],
    ["mean", 1],
    ["full", 1],
    ["composer", 1],
    ["paper-literal", 0.869],
  ] as const)("%s converges to %d of the true value", async (rule, share) => {
    gpu.variant = variant;
    const K = 32;
    const HW = 1024;
    const ghosts = { ghostSize: 128, ghosts: K, total: K * 128 };
    const unbias = (128 * HW - 1) / (128 * HW);
    const statistics = fromArray(
      gpu,
      Float32Array.from({ length: 2 * K }, (_, i) => (i % 2 === 0 ? 3 : 4 * unbias)),
      [K, 1, 2],
    );
    const t = {
      statistics,
      pixels: fromArray(gpu, Uint32Array.of(HW)),
      runningMean: fromArray(gpu, Float32Array.of(0)),
      runningVariance: fromArray(gpu, Float32Array.of(1)),
      ghosts,
    };
    for (let update = 0; update < 400; update++) launchRunningStatistics(t, { rule, momentum: 0.1 });
    const [mean] = await readFloats(t.runningMean);
    const [variance] = await readFloats(t.runningVariance);
    expect(mean / 3).toBeGreaterThan(share - 1e-3);
    expect(mean / 3).toBeLessThan(share + 1e-3);
    expect(Math.sqrt(variance / 4)).toBeGreaterThan(share - 1e-3);
    expect(Math.sqrt(variance / 4)).toBeLessThan(share + 1e-3);
  });
});
