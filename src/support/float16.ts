/** IEEE 754 half precision on the host: conversion between numbers and the bits that the GPU stores as f16. */

/** The largest finite f16 number. */
export const LARGEST_FLOAT16 = 65_504;

/** Exponents of the smallest normal f16 number, and of the unit in the last place of a number in [1, 2). */
const SMALLEST_EXPONENT = -14;
const LAST_PLACE = -10;

/** The f16 number nearest to `value`, ties to even; infinite from 65,520 on. */
export function roundToFloat16(value: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  // Adding and subtracting a number with the right last place rounds to that place, as hardware addition does.
  const rounder = 1.5 * 2 ** (52 + Math.max(exponentOf(value), SMALLEST_EXPONENT) + LAST_PLACE);
  const rounded = value + rounder - rounder;
  if (rounded === 0) return value < 0 ? -0 : 0;
  return Math.abs(rounded) > LARGEST_FLOAT16 ? Math.sign(value) * Number.POSITIVE_INFINITY : rounded;
}

/** The distance between neighbouring f16 numbers around `value`. */
export function float16Step(value: number): number {
  const magnitude = Math.min(Math.abs(value), LARGEST_FLOAT16);
  return (
    2 **
    (Math.max(magnitude === 0 ? SMALLEST_EXPONENT : exponentOf(magnitude), SMALLEST_EXPONENT) + LAST_PLACE)
  );
}

/** The bits of `values` in f16, each rounded as `roundToFloat16` does. */
export function float16Bits(values: Float32Array<ArrayBuffer>): Uint16Array<ArrayBuffer> {
  const single = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const half = new Uint16Array(values.length);
  for (let i = 0; i < half.length; i++) half[i] = halfOfSingle(single[i]!);
  return half;
}

/** Bits of f16 from bits of f32: 1 of sign, 8 of exponent from −127, 23 of fraction become 1, 5 from −15 and 10. */
function halfOfSingle(single: number): number {
  const sign = (single >>> 16) & 0x8000;
  const magnitude = single & 0x7fff_ffff;
  if (magnitude > 0x7f80_0000) return sign | 0x7e00; // NaN
  if (magnitude >= (127 + 16) << 23) return sign | 0x7c00; // infinite, or 2¹⁶ and more
  if (magnitude >= (127 + SMALLEST_EXPONENT) << 23) {
    // Half of the last kept place, less one if the kept bits are even. A carry into the exponent is right.
    const rounded = magnitude + 0x0fff + ((magnitude >> 13) & 1);
    return sign | ((rounded - ((127 - 15) << 23)) >> 13);
  }
  // Subnormal: the bits count multiples of the smallest number, 2⁻²⁴. Less than half of it becomes 0.
  const exponent = (magnitude >> 23) - 127;
  if (exponent < -25) return sign;
  const fraction = (magnitude & 0x7f_ffff) | 0x80_0000;
  const dropped = -1 - exponent;
  const kept = fraction >> dropped;
  const rest = fraction & ((1 << dropped) - 1);
  const middle = 1 << (dropped - 1);
  return sign | (kept + (rest > middle || (rest === middle && kept & 1) ? 1 : 0));
}

/** The exact values of f16 bits. */
export function fromFloat16Bits(bits: Uint16Array): Float32Array<ArrayBuffer> {
  numbers ??= Float32Array.from({ length: 65_536 }, (_, half) => numberOf(half));
  const values = new Float32Array(bits.length);
  for (let i = 0; i < bits.length; i++) values[i] = numbers[bits[i]!]!;
  return values;
}

/** The value of every f16, computed on first use. */
let numbers: Float32Array | null = null;

function numberOf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  if (exponent === 0) return sign * fraction * 2 ** (SMALLEST_EXPONENT + LAST_PLACE);
  return sign * (1024 + fraction) * 2 ** (exponent - 15 + LAST_PLACE);
}

const double = new DataView(new ArrayBuffer(8));

/** ⌊log₂|value|⌋ of a number that is neither 0 nor infinite, exactly; −1023 below the smallest normal double. */
function exponentOf(value: number): number {
  double.setFloat64(0, value);
  return ((double.getUint16(0) >> 4) & 0x7ff) - 1023;
}
