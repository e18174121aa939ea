// Assertion that compares the GPU's results with a float64 reference.

import { assert } from "vitest";
import { type Closeness, closeness, coordinates } from "../../src/reference/close.ts";

export { largest, rootMeanSquare, roundingBound } from "../../src/reference/close.ts";

/**
 * Fails unless |actual − reference| ≤ bound everywhere. NaN and infinity are never close.
 *
 * @param bound  absolute; `roundingBound` computes one
 * @param label  op, case and tensor, e.g. "conv2d (2,3,9,7) dx"
 * @param shape  of the tensor, to name the worst element by its coordinates
 * @returns how close it was
 */
export function expectClose(
  actual: ArrayLike<number>,
  reference: ArrayLike<number>,
  { bound, label, shape }: { bound: number; label: string; shape?: readonly number[] },
): Closeness {
  if (actual.length !== reference.length) {
    assert.fail(`${label}: expected ${reference.length} values, got ${actual.length}`);
  }
  const found = closeness(actual, reference, bound);
  const { maxError, index, nmse, wrong } = found;
  if (wrong > 0) {
    const place = shape ? `[${coordinates(index, shape).join(", ")}]` : `[${index}]`;
    assert.fail(
      `${label}: ${wrong} of ${actual.length} values differ too much; worst at ${place}: got ${actual[index]}, ` +
        `reference ${reference[index]}, error ${maxError.toExponential(2)}, bound ${bound.toExponential(2)}, ` +
        `NMSE ${nmse.toExponential(2)}`,
    );
  }
  return found;
}
