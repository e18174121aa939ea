// Check of gradients by central differences, in float64.

import { assert } from "vitest";
import { largest } from "./close.ts";

/** Step of the differences: their own error is about h² = 1e-10 and that of rounding about 1e-16 / h = 1e-11. */
const STEP = 1e-5;

/** Largest accepted |numeric − analytic|, as a share of the largest gradient. */
const TOLERANCE = 1e-6;

/** Σ a·b: turns an output into the scalar whose gradient is the output's, weighted by an incoming gradient. */
export function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/**
 * Fails unless (f(v + h) − f(v − h)) / 2h agrees with the analytic gradient in every element asked for.
 *
 * @param f         the scalar; reads `values`, which are moved one by one and put back
 * @param values    what f is differentiated by
 * @param analytic  its claimed gradient, of the same length
 * @param indices   the elements to check; all of them where left out
 * @param step      h, default 1e-5
 * @param scale     what the tolerance is a share of; default: the largest analytic gradient
 */
export function expectGradient(
  f: () => number,
  {
    values,
    analytic,
    label,
    indices = [...values.keys()],
    step = STEP,
    scale = largest(analytic),
  }: {
    values: Float64Array;
    analytic: Float64Array;
    label: string;
    indices?: readonly number[];
    step?: number;
    scale?: number;
  },
): void {
  assert.equal(analytic.length, values.length, `${label}: length of the gradient`);
  for (const i of indices) {
    const value = values[i];
    values[i] = value + step;
    const above = f();
    values[i] = value - step;
    const below = f();
    values[i] = value;
    const numeric = (above - below) / (2 * step);
    const error = Math.abs(numeric - analytic[i]) / scale;
    if (!(error <= TOLERANCE)) {
      assert.fail(
        `${label}[${i}]: central difference ${numeric}, gradient ${analytic[i]}, error ${error} of ${scale}`,
      );
    }
  }
}
