// The gradient noise scale on synthetic gradients whose mean and covariance are known.

import { expect, test } from "vitest";
import { GradientMoments, meanToDeviation, noiseScale } from "../../src/measure/gradient-noise-scale.ts";
import { pcg4d, uniform01 } from "../../src/support/random.ts";

const SIZE = 500;

function normal(a: number, b: number, c: number): number {
  const [u, v] = pcg4d(7, a, b, c);
  return Math.sqrt(-2 * Math.log(1 - uniform01(u))) * Math.cos(2 * Math.PI * uniform01(v));
}

/** Mean gradient 0.1 in each of 500 coordinates (‖g‖² = 5), deviation 2 of one sample: tr C = 2000, B_simple = 400. */
function gradient(batch: number, key: readonly [number, number], signal = 0.1): Float32Array {
  return Float32Array.from(
    { length: SIZE },
    (_, i) => signal + (2 / Math.sqrt(batch)) * normal(key[0], key[1], i),
  );
}

function rounds(count: number, signal?: number) {
  return Array.from({ length: count }, (_, round) => {
    const moments = new GradientMoments(SIZE);
    for (let i = 0; i < 8; i++) moments.add(gradient(32, [round + 1, i], signal));
    return { small: moments.squares / moments.count, large: moments.squaredMean };
  });
}

test("the estimate is near 400, and its interval contains 400", () => {
  const { scale, interval, squaredGradient, trace } = noiseScale(rounds(200), { small: 32, large: 256 });
  expect(squaredGradient).toBeCloseTo(5, 0);
  expect(trace / 2000).toBeCloseTo(1, 1);
  expect(scale! / 400).toBeCloseTo(1, 1);
  expect(interval!.low).toBeLessThan(400);
  expect(interval!.high).toBeGreaterThan(400);
  expect(meanToDeviation(400, scale!)).toBeCloseTo(1, 1);
});

test("without a mean gradient the scale is undetermined, not a large number", () => {
  const none = rounds(12, 0).map(({ small, large }) => ({ small, large: Math.min(large, small / 8) }));
  const { scale, interval } = noiseScale(none, { small: 32, large: 256 });
  expect(scale).toBeNull();
  expect(interval).toBeNull();
});

test("no interval if many bootstrap draws have no estimate", () => {
  // ‖g‖² of each round is far above or far below 0 and their mean just above it: many draws have none.
  const uncertain = Array.from({ length: 16 }, (_, i) => ({
    small: 10,
    large: i % 2 === 0 ? 10 / 8 + 2 : 10 / 8 - 1.9,
  }));
  const { scale, interval } = noiseScale(uncertain, { small: 32, large: 256 });
  expect(scale).not.toBeNull();
  expect(interval).toBeNull();
});

test("no interval from few rounds, where the bootstrap's is too narrow", () => {
  expect(noiseScale(rounds(15), { small: 32, large: 256 }).interval).toBeNull();
  expect(noiseScale(rounds(16), { small: 32, large: 256 }).interval).not.toBeNull();
});

test("moments: trace of the covariance and the median of |mean| / deviation", () => {
  const moments = new GradientMoments(SIZE);
  for (let i = 0; i < 400; i++) moments.add(gradient(32, [1000, i]));
  expect(moments.trace / (2000 / 32)).toBeCloseTo(1, 1);
  // 0.1 / (2 / √32) = 0.283
  expect(moments.medianRatio.corrected).toBeCloseTo(0.283, 1);
  // With few batches the observed ratio is mostly scatter.
  const few = new GradientMoments(SIZE);
  for (let i = 0; i < 8; i++) few.add(gradient(32, [2000, i]));
  expect(few.medianRatio.observed).toBeGreaterThan(0.33);
  expect(Math.abs(few.medianRatio.corrected - 0.283)).toBeLessThan(0.06);
  const none = new GradientMoments(SIZE);
  for (let i = 0; i < 24; i++) none.add(gradient(32, [3000, i], 0));
  expect(none.medianRatio.observed / none.medianRatio.floor).toBeCloseTo(1, 0);
  expect(none.medianRatio.corrected).toBeLessThan(0.1);
});
