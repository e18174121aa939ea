// Float64 reference of dropout with a given mask: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

/**
 * y = x · mask / (1 − p), any shape. The gradient is the same map: dx = dy · mask / (1 − p).
 *
 * @param x     the input, or dy
 * @param mask  1 where a value is kept, 0 where it is dropped
 * @param p     probability that a value is dropped, 0 ≤ p < 1
 */
export function dropout(
  { x, mask }: { x: Values; mask: ArrayLike<number> },
  { p }: { p: number },
): Float64Array {
  const y = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) y[i] = mask[i] ? x[i] / (1 - p) : 0;
  return y;
}
