// f16 on the host: the bits of every number, and rounding to nearest, ties to even.

import { expect, test } from "vitest";
import { float16Bits, float16Step, fromFloat16Bits, roundToFloat16 } from "../../src/support/float16.ts";

const everyPattern = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);
const every = fromFloat16Bits(everyPattern);

test("every f16 number keeps its bits; every NaN stays NaN", () => {
  const back = float16Bits(every);
  const wrong = [...everyPattern].filter((bits) =>
    Number.isNaN(every[bits]) ? back[bits] !== 0x7e00 : back[bits] !== bits,
  );
  expect(wrong).toEqual([]);
  expect([0x0001, 0x03ff, 0x0400, 0x3c00, 0x3c01, 0x7bff, 0x7c00, 0xfc00].map((bits) => every[bits])).toEqual(
    [
      2 ** -24,
      1023 * 2 ** -24,
      2 ** -14,
      1,
      1 + 2 ** -10,
      65_504,
      Number.POSITIVE_INFINITY,
      Number.NEGATIVE_INFINITY,
    ],
  );
});

test("a value between two neighbors rounds to the nearer one, halfway to the one whose last bit is 0", () => {
  for (let bits = 0; bits < 0x7bff; bits++) {
    const [low, high] = [every[bits]!, every[bits + 1]!];
    const middle = (low + high) / 2;
    const even = bits % 2 === 0 ? low : high;
    const around = [low, low + (high - low) / 8, middle, high - (high - low) / 8, high];
    const expected = [low, low, even, high, high];
    if (around.map(roundToFloat16).join() !== expected.join()) expect.fail(`around ${low}`);
    const uploaded = fromFloat16Bits(float16Bits(new Float32Array(around)));
    if (uploaded.join() !== expected.join()) expect.fail(`uploaded around ${low}: ${uploaded.join()}`);
    if (around.map((value) => roundToFloat16(-value)).join() !== expected.map((value) => -value).join())
      expect.fail(`around ${-low}`);
    if (float16Step(low) !== high - low) expect.fail(`step at ${low}: ${float16Step(low)}`);
  }
  // As if there were a number after the largest.
  const largest = [65_519, 65_520, -65_520, 1e9];
  const expected = [65_504, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  expect(largest.map(roundToFloat16)).toEqual(expected);
  expect([...fromFloat16Bits(float16Bits(new Float32Array(largest)))]).toEqual(expected);
  expect([...float16Bits(new Float32Array([2 ** -25, 2 ** -25 + 2 ** -40, -1e-30, -0]))]).toEqual([
    0, 1, 0x8000, 0x8000,
  ]);
});
