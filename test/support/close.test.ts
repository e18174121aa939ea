// The comparison on which every kernel test depends must itself be able to fail.

import { expect, test } from "vitest";
import { expectClose, largest, rootMeanSquare, roundingBound } from "./close.ts";

test("within the bound it returns how close it was", () => {
  const { maxError, index, nmse } = expectClose([1, 2, 3.5], [1, 2, 3], { bound: 0.5, label: "op" });
  expect([maxError, index]).toEqual([0.5, 2]);
  expect(nmse).toBeCloseTo(0.25 / 14, 12);
});

test("beyond the bound the error names op, place, both values, error and bound", () => {
  const compare = () =>
    expectClose([1, 2, 3, 4], [1, 2, 3, 5], { bound: 0.5, label: "op dx", shape: [2, 2] });
  expect(compare).toThrow(
    /^op dx: 1 of 4 .* worst at \[1, 1\]: got 4, reference 5, error 1.00e\+0, bound 5.00e-1/,
  );
});

test("NaN, infinity and missing values are never close", () => {
  const options = { bound: Number.POSITIVE_INFINITY, label: "op" };
  expect(() => expectClose([1, Number.NaN], [1, 1], { ...options, bound: 1e9 })).toThrow("got NaN");
  expect(() => expectClose([Number.POSITIVE_INFINITY], [1], { ...options, bound: 1e9 })).toThrow(
    "got Infinity",
  );
  expect(() => expectClose([1], [Number.NaN], { ...options, bound: 1e9 })).toThrow("reference NaN");
  expect(() => expectClose([1], [1, 2], options)).toThrow("expected 2 values, got 1");
});

test("the bound grows with the root of the terms", () => {
  expect(roundingBound({ terms: 100, scale: 3, factor: 2 })).toBe(2 * 10 * 2 ** -24 * 3);
  expect(largest([1, -4, 2])).toBe(4);
  expect(rootMeanSquare([3, 4, 0, 0])).toBe(2.5);
});
