// Statistics of points along random directions, for a known loss.

import { expect, test } from "vitest";
import {
  binPoints,
  curvatureOf,
  type DirectionPoint,
  fitSpread,
  leavesTaylorAt,
} from "../../src/measure/loss-spread.ts";
import { pcg4d, uniform01 } from "../../src/support/random.ts";

const SLOPE = 0.3;

/** L = 1 + SLOPE · d · n + curvature · d² / 2 at distances uniform to 1, n normal. */
function pointsOf(count: number, seed: number, curvature = 0): DirectionPoint[] {
  return Array.from({ length: count }, (_, i) => {
    const [u, v, w] = pcg4d(seed, 1, i, 0).map(uniform01) as [number, number, number, number];
    const normal = Math.sqrt(-2 * Math.log(1 - u)) * Math.cos(2 * Math.PI * v);
    return { distance: w, loss: 1 + SLOPE * w * normal + (curvature * w * w) / 2 };
  });
}

test.each([24, 200, 1000])(
  "with %i directions, a linear loss leaves its Taylor line in at most one of twenty measurements",
  (count) => {
    const seeds = Array.from({ length: 200 }, (_, seed) => seed);
    const alarms = seeds.filter(
      (seed) => leavesTaylorAt(binPoints(pointsOf(count, seed), 1, 10), SLOPE) !== null,
    );
    expect(alarms.length / seeds.length).toBeLessThanOrEqual(0.05);
  },
);

test("a loss 1.5 times as steep leaves the line, and so does a curved one", () => {
  expect(leavesTaylorAt(binPoints(pointsOf(1000, 0), 1, 10), SLOPE / 1.5)).not.toBeNull();
  const curved = binPoints(pointsOf(1000, 0, 2), 1, 10);
  // deviation² = SLOPE² d² + d⁴ is 1.15² of the line's at d = 0.17, and the interval must clear that.
  expect(leavesTaylorAt(curved, SLOPE)).toBeGreaterThan(0.17);
  expect(leavesTaylorAt(curved, SLOPE)).toBeLessThan(0.6);
});

test("slope, exponent and curvature agree with the loss, within their errors", () => {
  const bins = binPoints(pointsOf(20_000, 3), 1, 10);
  const { slope, exponent, exponentError } = fitSpread(bins);
  expect(slope / SLOPE).toBeCloseTo(1, 1);
  expect(Math.abs(exponent - 1)).toBeLessThan(4 * exponentError);
  const { curvature, curvatureError } = curvatureOf(pointsOf(20_000, 4, 0.5), 1);
  expect(curvatureError).toBeLessThan(0.02);
  expect(Math.abs(curvature - 0.5)).toBeLessThan(4 * curvatureError);
});
