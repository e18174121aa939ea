// Runs an op on the GPU as a network does: recorded on a tape, into memory filled with NaN.

import { assert, vi } from "vitest";
import type { Case } from "../../src/cases/paper.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { Tape } from "../../src/ops/tape.ts";
import { float16Step, roundToFloat16 } from "../../src/support/float16.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import {
  type FloatType,
  fromArray,
  type NumberArray,
  readTensor,
  type Tensor,
} from "../../src/tensor/tensor.ts";
import { largest } from "./close.ts";

export { PATTERN, repeated } from "../../src/reference/random-data.ts";

export const VARIANTS = ["narrow", "wide"] as const;

/** The types that activations are stored in. */
export const STORED = ["f32", "f16"] as const;

/** Whether a case runs in f16 too. The kernel's code is that of f32, so the largest cases, which test the grid, run only in f32. */
export function runsIn(type: FloatType, one: Case, size: number): boolean {
  return type === "f32" || (!one.paper && size < 2 ** 16);
}

/** `values` as the GPU stores them; references compute from these. */
export function asStored(values: Float32Array<ArrayBuffer>, type: FloatType): Float32Array<ArrayBuffer> {
  return type === "f16" ? values.map(roundToFloat16) : values;
}

/** The error of storing results: none in f32, whose rounding is part of the arithmetic's bound; half a step of the largest in f16. */
export function storingBound(results: ArrayLike<number>, type: FloatType): number {
  return type === "f16" ? float16Step(largest(results)) / 2 : 0;
}

/** NaN as one f32 number and as two f16 numbers. */
const QUIET_NAN = 0x7fff7fff;

/** From now on, memory that ops allocate is filled with NaN, so that an unwritten element fails every comparison. */
export function poisonAllocations(gpu: Gpu): void {
  const allocate = gpu.allocate.bind(gpu);
  vi.spyOn(gpu, "allocate").mockImplementation((bytes, label) => {
    const storage = allocate(bytes, label);
    if (storage.buffer !== null) {
      const byteLength = Math.ceil(bytes / 4) * 4;
      gpu.write({ storage, byteOffset: 0, byteLength }, new Uint32Array(byteLength / 4).fill(QUIET_NAN));
    }
    return storage;
  });
}

/** A tensor in the middle of a network: the tape allocates its gradient. */
export function intermediate(
  gpu: Gpu,
  data: NumberArray,
  shape: readonly number[],
  stored: FloatType = "f32",
): Tensor {
  const tensor = fromArray(gpu, data, shape, "tensor", stored);
  tensor.requiresGradient = true;
  return tensor;
}

/** A parameter: its gradient has its own memory, with `held` in it, or NaN if nothing may read it. */
export function parameter(
  gpu: Gpu,
  data: NumberArray,
  shape: readonly number[],
  held?: Float32Array<ArrayBuffer>,
): Tensor {
  const tensor = intermediate(gpu, data, shape);
  tensor.gradient = fromArray(
    gpu,
    held ?? new Float32Array(sizeOf(shape)).fill(Number.NaN),
    shape,
    "gradient",
  );
  return tensor;
}

/** Forward on a tape, then backward from `dy`. */
export function differentiate(
  body: () => Tensor,
  dy: Tensor,
  options?: { accumulate: boolean },
): { y: Tensor; tape: Tape } {
  const tape = new Tape(options);
  const y = tape.record(body);
  tape.backward(y, dy);
  return { y, tape };
}

/** Fails unless both hold the same bits. */
export async function expectSameBits(one: Tensor, other: Tensor, what: string): Promise<void> {
  expectEqualBits(await readTensor(one), await readTensor(other), what);
}

/** Fails unless both hold the same bits, naming the first element that differs. Fast for millions of elements. */
export function expectEqualBits(actual: NumberArray, expected: NumberArray, what: string): void {
  const bytesOf = ({ buffer, byteOffset, byteLength }: NumberArray) =>
    Buffer.from(buffer, byteOffset, byteLength);
  if (bytesOf(actual).equals(bytesOf(expected))) return;
  const index = actual.findIndex((value, i) => !Object.is(value, expected[i]));
  assert.fail(
    `${what}: element ${index} of ${actual.length} is ${actual[index]}, expected ${expected[index]} (of ${expected.length})`,
  );
}

/** The most that a case may cost on a software GPU and in a reference of plain loops. */
const MOST_FLOPS = 60e6;
const MOST_BYTES = 2 ** 24;

/** Whether tests run a case: all but the paper's shapes that are too large for a software GPU. */
export function isAffordable(
  { paper = false }: Case,
  { flops = 0, bytes = 0 }: { flops?: number; bytes?: number },
): boolean {
  return !paper || (flops <= MOST_FLOPS && bytes <= MOST_BYTES);
}
