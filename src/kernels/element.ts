/** How kernels load numbers from memory: one or four at a time, f32 or f16. They compute in f32 in either case. */
import { ShapeError } from "../support/errors.ts";
import type { FloatType, Tensor } from "../tensor/tensor.ts";

/** Tensors of one type, with their names for messages. */
export type Tensors = Readonly<Record<string, Tensor | undefined>>;

/** `// @spec` values of a kernel whose lanes take WIDTH numbers at a time. */
export interface ElementSpec {
  /** The type that the kernel computes with. */
  readonly Element: "vec4f" | "f32";
  /** An Element in memory. */
  readonly Stored: string;
  readonly WIDTH: 1 | 4;
}

/**
 * Four numbers at a time if `count`, the number of contiguous values, allows it, because memory is then fastest.
 * @throws ShapeError if the types of the tensors differ
 */
export function element(op: string, count: number, tensors: Tensors): ElementSpec {
  const WIDTH = count % 4 === 0 ? 4 : 1;
  const type = floatType(op, tensors);
  return { Element: WIDTH === 4 ? "vec4f" : "f32", Stored: storedType(type, WIDTH), WIDTH };
}

/** WGSL's name of `width` numbers in memory. */
export function storedType(type: FloatType, width: 1 | 4 = 1): string {
  if (width === 4) return type === "f16" ? "vec4h" : "vec4f";
  return type;
}

/**
 * The type in which all of these are stored.
 * @throws ShapeError if they differ, or for integers, which a kernel would misread
 */
export function floatType(op: string, tensors: Tensors): FloatType {
  const given = Object.entries(tensors).flatMap(([name, tensor]) => (tensor ? [{ name, tensor }] : []));
  const [first] = given;
  const type = first?.tensor.dtype;
  const other = given.find(({ tensor }) => tensor.dtype !== type);
  if (!first || !other) {
    if (type === "f32" || type === "f16") return type;
    throw new ShapeError(`${op}: ${first?.name} is ${type}, expected f32 or f16`);
  }
  throw new ShapeError(
    `${op}: ${first.name} is ${type} and ${other.name} is ${other.tensor.dtype}, expected one type for both`,
  );
}

/** Bytes of all of them, each once. */
export function bytesOf(tensors: Tensors): number {
  return Object.values(tensors).reduce((sum, tensor) => sum + (tensor?.byteLength ?? 0), 0);
}
