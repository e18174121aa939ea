/** Checks that ops make on shapes and numbers. */
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

/** @throws ShapeError unless every length is a whole number of at least 1, naming `what` */
export function expectLengths(what: string, shape: readonly number[]): void {
  if (shape.every((length) => Number.isSafeInteger(length) && length >= 1)) return;
  throw new ShapeError(`${what}: expected whole numbers of at least 1 as its shape, got ${shapeText(shape)}`);
}

/** @throws ShapeError unless `value` is a whole number of at least `least`, naming `what` */
export function expectWhole(what: string, value: number, least = 0): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new ShapeError(`${what}: expected a whole number of at least ${least}, got ${value}`);
}

/** @throws ShapeError unless `value` is a finite number of at least `least`, naming `what` */
export function expectNumber(what: string, value: number, least = Number.NEGATIVE_INFINITY): void {
  if (Number.isFinite(value) && value >= least) return;
  const range = least === Number.NEGATIVE_INFINITY ? "" : ` of at least ${least}`;
  throw new ShapeError(`${what}: expected a number${range}, got ${value}`);
}
