import { expect, test } from "vitest";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatNumber,
  formatPercent,
  formatQuantity,
} from "../../src/support/format.ts";

test("bytes are in binary units with three digits", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [512, "512 B"],
    [1023, "1023 B"],
    [1024, "1.00 KiB"],
    [1536, "1.50 KiB"],
    [128 * 2 ** 20, "128 MiB"],
    [1023.9 * 2 ** 20, "1.00 GiB"],
    [13 * 2 ** 30, "13.0 GiB"],
    [Number.NaN, "unknown"],
  ];
  for (const [bytes, text] of cases) expect(formatBytes(bytes)).toBe(text);
});

test("durations are in their two largest units and never show 60 of one", () => {
  const cases: [number, string][] = [
    [0, "0 ms"],
    [0.00042, "0.42 ms"],
    [0.0123, "12.3 ms"],
    [0.9999, "1.00 s"],
    [12.34, "12.3 s"],
    [59.96, "1 min 00 s"],
    [125, "2 min 05 s"],
    [3599.6, "1 h 00 min"],
    [3 * 3600 + 120, "3 h 02 min"],
    [86_399, "1 d 00 h"],
    [51 * 3600, "2 d 03 h"],
    [-5, "-5.00 s"],
    [Number.POSITIVE_INFINITY, "unknown"],
  ];
  for (const [seconds, text] of cases) expect(formatDuration(seconds)).toBe(text);
});

test("counts, quantities, numbers and percents", () => {
  expect(formatCount(1_462_794)).toBe("1,462,794");
  expect(formatCount(999)).toBe("999");
  expect(formatCount(-1000)).toBe("-1,000");
  expect(formatQuantity(2.92e15, "FLOP")).toBe("2.92 PFLOP");
  expect(formatQuantity(661_338, "parameters")).toBe("661 k parameters");
  expect(formatQuantity(999_600, "images")).toBe("1.00 M images");
  expect(formatQuantity(0.0123, "s")).toBe("0.0123 s");
  expect([0.0005, 1.183215956, 39_100].map(formatNumber)).toEqual(["0.0005", "1.18322", "39100"]);
  expect(formatPercent(0.9827)).toBe("98.27 %");
  expect(formatPercent(0.5, 0)).toBe("50 %");
  expect(formatPercent(Number.NaN)).toBe("unknown");
});
