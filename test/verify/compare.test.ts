// Errors of tensors against references, and their tolerances.

import { describe, expect, test } from "vitest";
import { compare, passes, roundingTolerance, worstOf } from "../../src/verify/compare.ts";

describe("errors and tolerances", () => {
  const close = { tolerance: 1e-5 };
  test.each([
    ["equal", [1, 2], [1, 2], 0, true],
    ["far", [1, 2.1], [1, 2], 0.1 / Math.sqrt(5), false],
    ["NaN", [Number.NaN, 2], [1, 2], Number.NaN, false],
    ["NaN on both sides", [Number.NaN], [Number.NaN], Number.NaN, false],
    ["infinite", [Number.POSITIVE_INFINITY], [1], Number.POSITIVE_INFINITY, false],
    ["zeros", [0, 0], [0, 0], 0, true],
    ["something for nothing", [1e-30], [0], Number.POSITIVE_INFINITY, false],
    ["too short", [1], [1, 2], Number.POSITIVE_INFINITY, false],
  ])("%s", (_, actual, data, error, passed) => {
    const comparison = compare("x", actual, { shape: [data.length], data }, close);
    if (Number.isFinite(error)) expect(comparison.error).toBeCloseTo(error, 12);
    else expect(comparison.error).toBe(error);
    expect(passes(comparison)).toBe(passed);
  });

  test("an error is relative to the floor if the reference is below it", () => {
    expect(compare("x", [1e-7], { shape: [1], data: [0] }, { ...close, floor: 0.1 }).error).toBeCloseTo(
      1e-6,
      12,
    );
  });

  test("NaN is the worst error", () => {
    const comparisons = [Number.NaN, 5, 0].map((error) => ({ tensor: `${error}`, error, tolerance: 1 }));
    expect(worstOf(comparisons)!.tensor).toBe("NaN");
    expect(worstOf(comparisons.toReversed())!.tensor).toBe("NaN");
  });

  test("a tolerance grows with the root of the terms, up to 2e-5", () => {
    expect(roundingTolerance(1)).toBe(2e-6);
    expect(roundingTolerance(16)).toBe(8e-6);
    expect(roundingTolerance(1e6)).toBe(2e-5);
  });
});
