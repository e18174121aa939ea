import { expect, test } from "vitest";
import { pcg4d, uniform01 } from "../../src/support/random.ts";
import { bootstrap, fitLine, mean, quantile, standardDeviation } from "../../src/support/statistics.ts";
import { rankCorrelation } from "./rank-correlation.ts";

test("mean, deviation, quantiles", () => {
  expect(mean([1, 2, 6])).toBe(3);
  expect(standardDeviation([1, 2, 6])).toBeCloseTo(Math.sqrt(7), 12);
  expect(standardDeviation([4])).toBe(0);
  // Type 7 of Hyndman and Fan, as in NumPy and R: 0.25 of [1, 2, 3, 4] is 1.75.
  expect(quantile([4, 1, 3, 2], 0.25)).toBe(1.75);
});

test("a line and its error", () => {
  const line = fitLine([0, 1, 2, 3], [1, 3, 5, 7]);
  expect(line).toMatchObject({ intercept: 1, slope: 2, slopeError: 0, r2: 1 });
  // By hand: 1.15 + 1.4 x has residuals −0.15, 0.45, −0.45, 0.15, whose squares sum to 0.45.
  const rough = fitLine([0, 1, 2, 3], [1, 3, 3.5, 5.5]);
  expect(rough.slope).toBeCloseTo(1.4, 12);
  expect(rough.slopeError).toBeCloseTo(Math.sqrt(0.45 / 2 / 5), 12);
  expect(() => fitLine([2, 2], [1, 3])).toThrow(/two different x values/);
});

test("rank correlation with ties", () => {
  expect(rankCorrelation([1, 2, 3, 4], [10, 20, 25, 99])).toBeCloseTo(1, 12);
  expect(rankCorrelation([1, 2, 3, 4], [4, 3, 2, 1])).toBeCloseTo(-1, 12);
  expect(rankCorrelation([1, 2, 2, 3], [1, 2, 2, 3])).toBeCloseTo(1, 12);
});

test("the bootstrap covers the mean in about 95 of 100 samples, and blocks widen it for correlated values", () => {
  const sample = (seed: number) => Array.from({ length: 40 }, (_, i) => uniform01(pcg4d(seed, 9, 9, i)[0]));
  let covered = 0;
  for (let seed = 0; seed < 100; seed++) {
    const values = sample(seed);
    const { low, high } = bootstrap(values.length, (positions) => mean(positions.map((i) => values[i]!)), {
      draws: 200,
      seed,
    });
    if (low <= 0.5 && high >= 0.5) covered++;
  }
  expect(covered).toBeGreaterThanOrEqual(86);
  expect(covered).toBeLessThanOrEqual(100);

  const walk = sample(3).flatMap((value) => new Array<number>(8).fill(value)); // runs of eight equal values
  const width = (block: number) => {
    const { low, high } = bootstrap(walk.length, (positions) => mean(positions.map((i) => walk[i]!)), {
      block,
      draws: 400,
    });
    return high - low;
  };
  expect(width(8)).toBeGreaterThan(1.8 * width(1));
});
