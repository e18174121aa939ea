/** How kernels take numbers from memory: one or four at a time, of f32 or f16. They compute in f32 in either case. */
import { ShapeError } from "../support/errors.ts";
import type { FloatType, Tensor } from "../tensor/tensor.ts";

/** `// @spec` values of a kernel whose lanes take `WIDTH` numbers at a time. */
export interface ElementSpec {
  /** What the kernel computes with. */
  readonly Element: "vec4f" | "f32";
  /** An Element as it is in memory. */
  readonly Stored: string;
}

/** Four numbers at a time where `count`, the numbers that follow each other, allows it: memory is fastest with that. */
export function element(count: number, type: FloatType): ElementSpec & { readonly WIDTH: 1 | 4 } {
  const WIDTH = count % 4 === 0 ? 4 : 1;
  return { Element: WIDTH === 4 ? "vec4f" : "f32", Stored: storedType(type, WIDTH), WIDTH };
}

/** WGSL's name of `width` numbers in memory. */
export function storedType(type: FloatType, width: 1 | 4 = 1): string {
  if (width === 4) return type === "f16" ? "vec4h" : "vec4f";
  return type;
}

/**
 * The type that all of these are stored in.
 * @throws ShapeError where they differ, or for integers: a kernel would read one as another
 */
export function floatType(what: string, tensors: Readonly<Record<string, Tensor | undefined>>): FloatType {
  const given = Object.entries(tensors).flatMap(([name, tensor]) => (tensor ? [{ name, tensor }] : []));
  const [first] = given;
  const type = first?.tensor.dtype;
  const other = given.find(({ tensor }) => tensor.dtype !== type);
  if (!first || !other) {
    if (type === "f32" || type === "f16") return type;
    throw new ShapeError(`${what}: ${first?.name} is ${type}, expected f32 or f16`);
  }
  throw new ShapeError(
    `${what}: ${first.name} is ${type} and ${other.name} is ${other.tensor.dtype}, expected one type for both`,
  );
}
