// Compares results of kernels on subgroup matrices, element by element, with float64 of the rounded operands.

import { expect } from "vitest";
import { captureCommands } from "../../src/bench/capture.ts";
import { runCommands } from "../../src/bench/check.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { float16Step, roundToFloat16 } from "../../src/support/float16.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { type FloatType, fromArray, readFloats, type Tensor } from "../../src/tensor/tensor.ts";

export type Numbers = Float32Array<ArrayBuffer>;

/** The result of a pass, the expected result, and Σ|terms| of each element: the same sum with absolute values. */
export interface Computed {
  readonly tensor: Tensor;
  readonly reference: ArrayLike<number>;
  readonly magnitude: ArrayLike<number>;
  readonly terms: number;
}

/**
 * Fails unless each element is within 4·√terms·2⁻²⁴·Σ|terms|, the rounding of an f32 sum in any order (src/reference/close.ts),
 * plus half an f16 step if it is stored as f16.
 */
export async function expectRounded(name: string, { tensor, reference, magnitude, terms }: Computed) {
  const actual = await readFloats(tensor);
  let [worst, place] = [0, -1];
  for (let i = 0; i < reference.length; i++) {
    const expected = reference[i]!;
    const size = Math.max(magnitude[i]!, Math.abs(expected));
    const stored = tensor.dtype === "f16" ? float16Step(expected) / 2 : 0;
    const bound = 4 * Math.sqrt(terms) * 2 ** -24 * size + stored;
    const off = Math.abs(actual[i]! - expected);
    const error = Number.isNaN(off) ? Number.POSITIVE_INFINITY : off / Math.max(bound, 2 ** -149);
    if (error > worst) [worst, place] = [error, i];
  }
  const what = `${name}: element ${place} is ${actual[place]}, expected ${reference[place]}`;
  expect(worst, what).toBeLessThanOrEqual(1);
}

export const absolute = (values: Numbers) => values.map(Math.abs);
export const rounded = (values: Numbers) => values.map(roundToFloat16);
export const unwritten = (on: Gpu, shape: readonly number[], type: FloatType) =>
  fromArray(on, new Float32Array(sizeOf(shape)).fill(Number.NaN), shape, "output", type);

/** Runs `launch` with matrix kernels. Fails if it dispatches anything else but sums of partial sums. */
export async function runOnMatrices(on: Gpu, launch: () => void): Promise<void> {
  const commands = captureCommands(on, "matrix", launch);
  const files = commands.map(({ kernel }) => kernel.file);
  expect(files[0]).toMatch(/matrix\.wgsl$/);
  expect(files.filter((file) => !/matrix\.wgsl$|^reduce\/sum-rows/.test(file))).toEqual([]);
  await runCommands(on, commands, []);
}
