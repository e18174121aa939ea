/** Checks of shapes that ops make on their inputs. */
import { ShapeError } from "../support/errors.ts";

export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, length) => product * length, 1);
}

export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(", ")}]`;
}

/** A tuple of `R` lengths. */
export type Dimensions<R extends number, Found extends number[] = []> = Found["length"] extends R
  ? Found
  : Dimensions<R, [...Found, number]>;

/** The dimensions of a shape that must have `rank` of them. @throws ShapeError, naming `what` */
export function dims<R extends number>(what: string, shape: readonly number[], rank: R): Dimensions<R> {
  if (shape.length !== rank)
    throw new ShapeError(`${what}: expected ${rank} dimensions, got ${shapeText(shape)}`);
  return shape as Dimensions<R>;
}

/** The first `rank` dimensions of a shape that may have more. @throws ShapeError, naming `what` */
export function leadingDims<R extends number>(
  what: string,
  shape: readonly number[],
  rank: R,
): Dimensions<R> {
  if (shape.length < rank)
    throw new ShapeError(`${what}: expected ${rank} dimensions or more, got ${shapeText(shape)}`);
  return shape.slice(0, rank) as Dimensions<R>;
}

/** @throws ShapeError unless `actual` is `expected`, naming `what` */
export function expectShape(what: string, actual: readonly number[], expected: readonly number[]): void {
  if (actual.length !== expected.length || actual.some((length, i) => length !== expected[i])) {
    throw new ShapeError(`${what}: expected ${shapeText(expected)}, got ${shapeText(actual)}`);
  }
}
