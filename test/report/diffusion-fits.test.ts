// The fits of Figure 2, on curves with a known law.

import { describe, expect, test } from "vitest";
import {
  compareLaws,
  type DistanceCurve,
  fitLaw,
  fitLaws,
  resampleByDecade,
} from "../../src/report/diffusion-fits.ts";
import { pcg4d, uniform01 } from "../../src/support/random.ts";

/** 12 points per decade from 10 to 10^4.5, each off by up to `noise` times its value. */
function curve(law: (t: number) => number, noise = 0.004, seed = 1): DistanceCurve {
  const step = Array.from({ length: 43 }, (_, i) => Math.round(10 ** (1 + i / 12)));
  const distance = step.map((t, i) => law(t) * (1 + noise * (2 * uniform01(pcg4d(seed, 1, 2, i)[0]) - 1)));
  return { step, distance };
}

describe("the right law wins, with its parameters", () => {
  test("a pure power law is not called logarithmic", () => {
    const comparison = compareLaws([curve((t) => 0.3 * t ** 0.35)]);
    expect(comparison.plausible).toContain("power");
    expect(comparison.plausible).not.toContain("log");
    expect(comparison.power.value).toBeCloseTo(0.35, 2);
    expect(comparison.power.low).toBeLessThanOrEqual(0.351);
    expect(comparison.power.high).toBeGreaterThanOrEqual(0.349);
  });

  test("a logarithm", () => {
    const comparison = compareLaws([curve((t) => 0.5 + 1.8 * Math.log(t))]);
    expect(comparison.fits[0]!.law).toBe("log");
    expect(comparison.plausible).not.toContain("power");
    expect(comparison.slope.value).toBeCloseTo(1.8, 1);
    expect(comparison.slope.low).toBeLessThan(1.82);
    expect(comparison.slope.high).toBeGreaterThan(1.78);
  });

  test("a power of the logarithm: α = 2/q", () => {
    const comparison = compareLaws([curve((t) => 0.2 * Math.log(t) ** 2.5)]);
    expect(comparison.plausible).toContain("log-power");
    expect(comparison.plausible).not.toContain("log");
    expect(comparison.alpha.value).toBeCloseTo(0.8, 2);
  });

  test("saturation", () => {
    const [best] = fitLaws(curve((t) => 9 * (1 - Math.exp(-((t / 600) ** 0.9)))));
    expect(best!.law).toBe("saturating");
    expect(best!.parameters["a"]).toBeCloseTo(9, 0);
    expect(best!.parameters["tau"]! / 600).toBeCloseTo(1, 0);
  });
});

test("the interval over several seeds is wider than that of one", () => {
  const one = compareLaws([curve((t) => 2 * Math.log(t), 0.002, 1)]);
  const scattered = compareLaws(
    [0.9, 1, 1.1].map((factor, i) => curve((t) => 2 * factor * Math.log(t), 0.002, i)),
  );
  const width = ({ low, high }: { low: number; high: number }) => high - low;
  expect(width(scattered.slope)).toBeGreaterThan(3 * width(one.slope));
});

test("too few points, steps of 1 and different steps are errors", () => {
  const few = { step: [2, 4, 8, 16, 32], distance: [1, 2, 3, 4, 5] };
  expect(() => fitLaws(few)).toThrow(/needs 6 points, found 5/);
  expect(() => fitLaw("log", { step: [1, 2, 3, 4, 5, 6], distance: [1, 2, 3, 4, 5, 6] })).toThrow(/above 1/);
  const other = curve((t) => Math.log(t));
  expect(() => compareLaws([other, { ...other, step: other.step.map((t) => t + 1) }])).toThrow(/same steps/);
});

test("resampling keeps at most twelve points per decade, and none before the start", () => {
  const step = Array.from({ length: 5000 }, (_, i) => i + 1);
  const thin = resampleByDecade({ step, distance: step.map(Math.log) }, 50);
  expect(thin.step[0]).toBe(50);
  const [from, to] = [thin.step.filter((t) => t >= 100 && t < 1000), thin.step.filter((t) => t >= 1000)];
  expect(from.length).toBe(12);
  expect(to.length).toBeLessThanOrEqual(9);
});
