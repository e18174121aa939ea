/** What the benchmarks run: a pass of an op on one of its cases, with its expected outputs. */
import type { Case } from "../cases/paper.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { largest, roundingBound } from "../reference/close.ts";
import { randomData, repeated } from "../reference/random-data.ts";
import { roundToFloat16 } from "../support/float16.ts";
import { type FloatType, fromArray, persistent, type Tensor } from "../tensor/tensor.ts";
import { POISON } from "./poison.ts";

/** One tensor that a pass writes. */
export interface Output {
  readonly name: string;
  readonly tensor: Tensor;
  /** The expected values, in float64 by plain loops; takes seconds for large shapes. */
  reference(): ArrayLike<number>;
  /** Allowed error of sums in f32, relative to the reference or to a trusted kernel. */
  bound(values: ArrayLike<number>): number;
}

export interface PreparedPass {
  /** Dispatches the pass, into poisoned memory. */
  launch(): void;
  readonly outputs: readonly Output[];
}

export interface PassCase {
  readonly label: string;
  readonly paper: boolean;
  /** Approximate operations, to decide whether a float64 reference in plain loops is affordable. */
  readonly flops: number;
  /** Approximate bytes of its tensors, to decide whether they fit. */
  readonly bytes: number;
  /** @param type type of activations, one of the pass's; f32 by default */
  prepare(gpu: Gpu, type?: FloatType): PreparedPass | Promise<PreparedPass>;
}

/** A pass of an op, named after its kernel's file if it has one: "conv2d/forward". */
export interface Pass {
  readonly name: string;
  readonly cases: readonly PassCase[];
  /** The types of activations that it reads or writes; only f32 if it has none. */
  readonly types: readonly FloatType[];
}

/** The types of a pass that reads or writes activations. */
export const EITHER_TYPE: readonly FloatType[] = ["f32", "f16"];

/** A pass over the cases of an op. `prepare` gets the case; `cost` is an estimate that decides what is affordable. */
export function passOf<T extends Case>(
  name: string,
  cases: readonly T[],
  {
    label,
    cost,
    types = ["f32"],
    prepare,
  }: {
    label: (one: T) => string;
    cost: (one: T) => { readonly flops: number; readonly bytes: number };
    types?: readonly FloatType[];
    prepare: (gpu: Gpu, one: T, type: FloatType) => PreparedPass | Promise<PreparedPass>;
  },
): Pass {
  return {
    name,
    types,
    cases: cases.map((one) => ({
      label: label(one),
      paper: one.paper ?? false,
      ...cost(one),
      prepare: (gpu, type = "f32") => prepare(gpu, one, type),
    })),
  };
}

/** A poisoned tensor, which nothing has written. */
export function poisoned(
  gpu: Gpu,
  shape: readonly number[],
  label: string,
  dtype: FloatType = "f32",
): Tensor {
  const tensor = persistent(gpu, shape, { dtype, label });
  gpu.write(tensor, new Uint32Array(Math.ceil(tensor.byteLength / 4)).fill(POISON));
  return tensor;
}

/** A tensor of activations. Rounds `host` to the type, so that it equals what the GPU holds. */
export function activation(
  gpu: Gpu,
  host: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  label: string,
  type: FloatType,
): Tensor {
  roundTo(type, host);
  return fromArray(gpu, host, shape, label, type);
}

/**
 * A tensor of weights, f32 with activations of either type. With f16 activations, values are rounded to f16 too: subgroup matrices
 * round their operands, and the reference must have the same values.
 */
export function weights(
  gpu: Gpu,
  host: Float32Array<ArrayBuffer>,
  shape: readonly number[],
  label: string,
  type: FloatType,
): Tensor {
  roundTo(type, host);
  return fromArray(gpu, host, shape, label);
}

function roundTo(type: FloatType, host: Float32Array<ArrayBuffer>): void {
  if (type === "f16") for (let i = 0; i < host.length; i++) host[i] = roundToFloat16(host[i]!);
}

/** As `poisoned`, for whole numbers. */
export function poisonedWords(gpu: Gpu, shape: readonly number[], label: string): Tensor {
  const size = shape.reduce((product, length) => product * length, 1);
  return fromArray(gpu, new Uint32Array(Math.max(1, size)).fill(POISON), shape, label);
}

/** An output whose error is that of summing `terms` terms as large as the results. */
export function summed(
  name: string,
  tensor: Tensor,
  terms: number,
  reference: () => ArrayLike<number>,
): Output {
  return {
    name,
    tensor,
    reference,
    bound: (values) => roundingBound({ terms, scale: largest(values) }),
  };
}

/** An output that must equal the reference to the bit. */
export function exact(name: string, tensor: Tensor, reference: () => ArrayLike<number>): Output {
  return { name, tensor, reference, bound: () => 0 };
}

/** Primes near 4,100: patterns of different lengths, so that a wrong index does not meet the same pair of values. */
const PATTERNS = [4099, 4093, 4091, 4079, 4073, 4057, 4051, 4049];

/** Arrays of normal numbers, the same for the same seed. Long ones repeat a pattern, which is fast to generate. */
export function numbers(seed: number) {
  const data = randomData(seed);
  let made = 0;
  return (count: number, options?: { mean?: number; deviation?: number }): Float32Array<ArrayBuffer> => {
    const pattern = PATTERNS[made++ % PATTERNS.length]!;
    return repeated(data.normals(Math.min(count, pattern), options), count);
  };
}
