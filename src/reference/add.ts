// Float64 reference of add: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

/**
 * y = a + b, or y = max(a + b, 0) with `relu`; any shape, the same for both.
 */
export function add(
  { a, b }: { a: Values; b: Values },
  { relu = false }: { relu?: boolean } = {},
): Float64Array {
  const y = new Float64Array(a.length);
  for (let i = 0; i < a.length; i++) {
    const sum = a[i] + b[i];
    y[i] = relu && sum <= 0 ? 0 : sum;
  }
  return y;
}

/**
 * da = db = dy, and with `relu` only where y > 0.
 *
 * @param y   the output of `add` (read only with `relu`)
 * @param dy  the incoming gradient, of y's shape
 * @returns the gradient of either summand
 */
export function addGradient(
  { y, dy }: { y: Values; dy: Values },
  { relu = false }: { relu?: boolean } = {},
): Float64Array {
  const gradient = new Float64Array(dy.length);
  for (let i = 0; i < dy.length; i++) gradient[i] = relu && y[i] <= 0 ? 0 : dy[i];
  return gradient;
}
