// Reports of measurements without training: tables, and the fit of the loss's spread.

import { expect, test } from "vitest";
import { parseRecord } from "../../src/report/experiment-record.ts";
import { reportExperiment } from "../../src/report/report.ts";

function report(kind: string, data: unknown) {
  const record = {
    format: 1,
    kind,
    id: `${kind}-test`,
    title: kind,
    command: "ghostbatch measure",
    scale: "small",
    adapter: { name: "an adapter" },
    series: [],
    data,
  };
  return reportExperiment(parseRecord(JSON.stringify(record), "x.experiment.json"), (name) => name);
}

test("ratio, noise scale and sharpness are tables that name the adapter", async () => {
  const ratio = await report("measure-ratio", {
    ...{ ghostSize: 32, batches: 96, scale: 400, medianRatio: 0.1 },
    ratios: [{ batchSize: 32, ratio: 0.283 }],
  });
  expect(ratio.markdown).toContain("| 32 | 0.283 |");
  expect(ratio.markdown).toContain("B_simple = 400 samples");
  const noise = await report("measure-noise-scale", {
    scale: null,
    interval: null,
    squaredGradient: -1,
    trace: 57,
    small: 32,
    large: 256,
    rounds: [{ small: 2, large: 1 }],
  });
  expect(noise.markdown).toMatch(/\| undetermined: use more --draws \| undetermined.* \| 32, 256 \| 1 \|/);
  const sharp = await report("measure-sharpness", [
    { space: "full", epsilon: 1e-3, seed: 0, startLoss: 0.3, highestLoss: 0.4, sharpness: 7.69 },
  ]);
  expect(sharp.markdown).toContain("| full | 0.001 | ≥ 7.69 | 0.3000 | 0.4000 |");
  for (const { markdown } of [ratio, noise, sharp]) {
    expect(markdown).toContain("- adapter: an adapter");
    expect(markdown).not.toContain("```json");
  }
});

test("the spread of the loss has a floor if it flattens towards short distances, and none if it follows a power law", async () => {
  const measured = (
    deviation: (d: number) => number,
    fit: { floor: number; slope: number; exponent: number },
  ) => ({
    kind: "unit",
    range: 10,
    startLoss: 2,
    gradientNorm: 1,
    taylorSlope: 1,
    leavesTaylorAt: null,
    ...fit,
    bins: [0.5, 1, 2, 4, 8].map((distance) => {
      return { distance, deviation: deviation(distance), shift: 0, points: 9 };
    }),
  });
  const { charts, markdown } = await report("measure-directions", [
    measured((d) => Math.hypot(1, d), { floor: 1, slope: 1, exponent: 0.75 }),
    // d^0.85 has no floor, although least squares finds one.
    measured((d) => d ** 0.85, { floor: 0.4, slope: 0.75, exponent: 0.85 }),
  ]);
  expect(markdown).toContain("| unit | 10 | 0.75 | 1.0e+0 |");
  expect(markdown).toContain("| unit | 10 | 0.85 | none |");
  expect(JSON.stringify(charts[1]!.spec)).toContain("power law d^0.85");
});

test("the covariance chart has its reference line, error bars, and its batch sizes as labels", async () => {
  const points = [32, 64, 128].map((batchSize) => {
    return { batchSize, trace: 50 / batchSize, scaled: 50, scaledError: 2 };
  });
  const { charts } = await report("measure-covariance", [
    { ghostSize: 32, points, slope: -1, slopeError: 0.01 },
  ]);
  const { values } = charts[0]!.spec["data"] as { values: { series: string; y: number; low?: number }[] };
  expect(values.filter(({ series }) => series.startsWith("slope −1")).map(({ y }) => y)).toEqual([
    50, 50, 50,
  ]);
  expect(values[0]).toMatchObject({ low: 48, high: 52 });
  expect(JSON.stringify(charts[0]!.spec)).toContain('"values":[32,64,128]');
});
