/** A tensor is data: a shape, a type and a location in GPU memory. It has no arithmetic; ops are functions in src/ops. */
import type { Gpu } from "../gpu/gpu.ts";
import { type BufferView, OFFSET_ALIGNMENT, type Storage } from "../gpu/storage.ts";
import { ShapeError } from "../support/errors.ts";
import { float16Bits, fromFloat16Bits } from "../support/float16.ts";
import { expectLengths, expectWhole, shapeText, sizeOf } from "./shape.ts";

export type DataType = "f32" | "f16" | "u32" | "i32" | "u8";
/** The types in which a network's numbers are stored. Arithmetic is f32 with either. */
export type FloatType = "f32" | "f16";
export type NumberArray =
  | Float32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>;

/** Bytes per element. Kernels read u8 tensors as packed u32. */
export const ELEMENT_BYTES: Record<DataType, number> = { f32: 4, f16: 2, u32: 4, i32: 4, u8: 1 };

export interface Tensor extends BufferView {
  readonly gpu: Gpu;
  readonly shape: readonly number[];
  readonly dtype: DataType;
  /** Number of elements. */
  readonly size: number;
  /** For parameters: where backward writes the gradient. */
  gradient: Tensor | null;
  /** Whether backward computes a gradient for it. */
  requiresGradient: boolean;
}

/** Bytes of a tensor. @throws ShapeError for a shape or a type that no tensor has, naming `label` */
function bytesFor(shape: readonly number[], dtype: DataType, label: string): number {
  expectLengths(label, shape);
  const bytes = ELEMENT_BYTES[dtype];
  if (bytes === undefined) {
    throw new ShapeError(
      `${label}: expected one of the types ${Object.keys(ELEMENT_BYTES).join(", ")}, got ${dtype}`,
    );
  }
  return Math.max(4, sizeOf(shape) * bytes);
}

function tensor(
  gpu: Gpu,
  storage: Storage,
  byteOffset: number,
  shape: readonly number[],
  dtype: DataType,
): Tensor {
  const size = sizeOf(shape);
  const byteLength = size * ELEMENT_BYTES[dtype];
  return {
    gpu,
    storage,
    byteOffset,
    byteLength,
    shape,
    dtype,
    size,
    gradient: null,
    requiresGradient: false,
  };
}

/**
 * A tensor with uninitialized memory: from the recording if one is open, else from the current scope, else from the
 * lifetime. Outside of all of them, free it with `gpu.memory.release(tensor.storage)`.
 * @throws ShapeError unless the lengths are whole numbers of at least 1
 */
export function empty(gpu: Gpu, shape: readonly number[], dtype: DataType = "f32", label = "tensor"): Tensor {
  const bytes = bytesFor(shape, dtype, label);
  return tensor(gpu, gpu.allocate(bytes, `${label} [${shape.join(", ")}]`), 0, shape, dtype);
}

/**
 * A zeroed tensor that outlives scopes and recordings. `usage` "uniform" is for values that a kernel reads as `var<uniform>`.
 * @throws ShapeError unless the lengths are whole numbers of at least 1
 */
export function persistent(
  gpu: Gpu,
  shape: readonly number[],
  {
    dtype = "f32",
    label = "tensor",
    usage = "storage",
  }: { dtype?: DataType; label?: string; usage?: "storage" | "uniform" } = {},
): Tensor {
  const bytes = bytesFor(shape, dtype, label);
  return tensor(gpu, gpu.allocatePersistent(bytes, `${label} [${shape.join(", ")}]`, usage), 0, shape, dtype);
}

/**
 * A persistent tensor holding `data`.
 *
 * @param stored  the type in which a Float32Array is stored; "f16" rounds to the nearest, ties to even
 * @throws ShapeError when the shape has another number of elements, or for an array of a type that no tensor has
 */
export function fromArray(
  gpu: Gpu,
  data: NumberArray,
  shape: readonly number[] = [data.length],
  label = "tensor",
  stored: FloatType = "f32",
): Tensor {
  if (data.length !== sizeOf(shape)) {
    throw new ShapeError(
      `${label}: ${data.length} values do not fit the shape [${shape.join(", ")}], which has ${sizeOf(shape)}`,
    );
  }
  const dtype = typeOf(data, stored, label);
  const result = persistent(gpu, shape, { dtype, label });
  gpu.write(result, dtype === "f16" ? float16Bits(data as Float32Array<ArrayBuffer>) : data);
  return result;
}

/** The type of a tensor that holds `data`. */
function typeOf(data: NumberArray, stored: FloatType, label: string): DataType {
  if (data instanceof Float32Array) return stored;
  const type = (["u32", "i32", "u8"] as const).find((integer) => data instanceof ARRAYS[integer]);
  if (type === undefined) {
    const name = (data as object).constructor.name;
    throw new ShapeError(
      `${label}: expected a Float32Array, Uint32Array, Int32Array or Uint8Array, got an ${name}`,
    );
  }
  if (stored !== "f32")
    throw new ShapeError(`${label}: only a Float32Array can be stored as ${stored}, not ${type}`);
  return type;
}

/**
 * The elements from `offset` on, in another shape, sharing memory.
 * @throws ShapeError if they lie outside, or do not start at a multiple of 256 bytes, WebGPU's binding alignment
 */
export function slice(source: Tensor, offset: number, shape: readonly number[]): Tensor {
  expectWhole("slice: offset", offset);
  expectLengths("slice", shape);
  const bytes = offset * ELEMENT_BYTES[source.dtype];
  if (offset + sizeOf(shape) > source.size) {
    throw new ShapeError(
      `slice: elements ${offset} to ${offset + sizeOf(shape)} are outside the ${source.size} elements of ${source.storage.label}`,
    );
  }
  if (bytes % OFFSET_ALIGNMENT !== 0)
    throw new ShapeError(`slice: ${bytes} bytes is not a multiple of ${OFFSET_ALIGNMENT}`);
  return tensor(source.gpu, source.storage, source.byteOffset + bytes, shape, source.dtype);
}

/** The same elements in another shape. No gradient flows through it: `flatten` in ops is differentiable. */
export function view(source: Tensor, shape: readonly number[]): Tensor {
  expectLengths("view", shape);
  if (sizeOf(shape) !== source.size) {
    throw new ShapeError(
      `view: ${shapeText(source.shape)} has ${source.size} elements, but ${shapeText(shape)} has ${sizeOf(shape)}`,
    );
  }
  return tensor(source.gpu, source.storage, source.byteOffset, shape, source.dtype);
}

const ARRAYS = { f32: Float32Array, u32: Uint32Array, i32: Int32Array, u8: Uint8Array };

/**
 * Writes numbers to an f32 or f16 tensor, rounded to its type, in order with dispatches and replays.
 * @throws ShapeError if it has another type or another number of elements
 */
export function writeFloats(target: Tensor, data: Float32Array<ArrayBuffer>): void {
  expectFloats(target);
  if (data.length !== target.size) {
    throw new ShapeError(
      `${target.storage.label}: has ${target.size} elements, but got ${data.length} values`,
    );
  }
  target.gpu.write(target, target.dtype === "f16" ? float16Bits(data) : data);
}

/** The elements, after all earlier work is done; those of an f16 tensor as float32. */
export async function readTensor(source: Tensor): Promise<NumberArray> {
  if (source.dtype === "f16")
    return fromFloat16Bits(new Uint16Array(await source.gpu.read(source), 0, source.size));
  return new ARRAYS[source.dtype](await source.gpu.read(source), 0, source.size);
}

/** As `readTensor`, for a tensor known to be f32 or f16. @throws ShapeError if it is neither */
export async function readFloats(source: Tensor): Promise<Float32Array<ArrayBuffer>> {
  expectFloats(source);
  return (await readTensor(source)) as Float32Array<ArrayBuffer>;
}

function expectFloats({ dtype, storage }: Tensor): void {
  if (dtype !== "f32" && dtype !== "f16")
    throw new ShapeError(`${storage.label}: is ${dtype}, expected f32 or f16`);
}

/** @throws ShapeError unless all of these have this type, naming `op` and the first other one: a kernel would misread it */
export function expectType(
  op: string,
  dtype: DataType,
  tensors: Readonly<Record<string, Tensor | null | undefined>>,
): void {
  for (const [name, tensor] of Object.entries(tensors)) {
    if (tensor && tensor.dtype !== dtype)
      throw new ShapeError(`${op}: ${name} is ${tensor.dtype}, expected ${dtype}`);
  }
}
