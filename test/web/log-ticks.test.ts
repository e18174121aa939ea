import { expect, test } from "vitest";
import { labelledTicks, logarithmicTicks } from "../../src/web/log-ticks.ts";

test("ticks are at whole multiples of powers of ten, wherever the axis begins", () => {
  expect(logarithmicTicks(15, 250)).toEqual([20, 30, 40, 50, 60, 70, 80, 90, 100, 200]);
  expect(logarithmicTicks(0.009, 0.1)).toEqual([
    0.009, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1,
  ]);
  expect(logarithmicTicks(1, 10)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test("powers of ten are labeled; if there are fewer than two, 1, 2 and 5 of each decade", () => {
  const labels = (low: number, high: number) =>
    labelledTicks(logarithmicTicks(low, high)).filter((tick) => tick !== null);
  expect(labels(15, 7504)).toEqual([100, 1000]);
  expect(labels(15, 480)).toEqual([20, 50, 100, 200]);
  expect(labels(300, 900)).toEqual([500]);
});
