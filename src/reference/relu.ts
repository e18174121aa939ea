// Float64 reference of relu: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

/** y = max(x, 0), any shape. */
export function relu(x: Values): Float64Array {
  const y = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) y[i] = Math.max(x[i], 0);
  return y;
}

/**
 * dx = dy where x > 0, else 0. The slope is 0 at x = 0 and 1 at NaN, as in PyTorch. Any shape.
 *
 * @param x  the input, or the output y of `relu`, which is positive at the same places
 */
export function reluGradient({ x, dy }: { x: Values; dy: Values }): Float64Array {
  const dx = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) dx[i] = x[i] <= 0 ? 0 : dy[i];
  return dx;
}
