// Float64 reference of l2-distance: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

/** ‖a − b‖ = √(Σ_i (a[i] − b[i])²), of the first `count` values (all of them where left out). */
export function l2Distance({ a, b }: { a: Values; b: Values }, count: number = a.length): number {
  let squares = 0;
  for (let i = 0; i < count; i++) squares += (a[i] - b[i]) ** 2;
  return Math.sqrt(squares);
}
