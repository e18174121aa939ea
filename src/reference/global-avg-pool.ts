// Float64 reference of global-avg-pool: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

export interface GlobalAvgPoolSize {
  readonly N: number;
  readonly C: number;
  /** Pixels per channel, H·W. */
  readonly HW: number;
}

/**
 * y[n, c] = 1/HW · Σ_p x[n, c, p]
 *
 * @param x  [N, C, HW]
 * @returns y [N, C]
 */
export function globalAvgPool(x: Values, { N, C, HW }: GlobalAvgPoolSize): Float64Array {
  const y = new Float64Array(N * C);
  for (let plane = 0; plane < N * C; plane++) {
    let sum = 0;
    for (let p = 0; p < HW; p++) sum += x[plane * HW + p];
    y[plane] = sum / HW;
  }
  return y;
}

/**
 * dx[n, c, p] = dy[n, c] / HW
 *
 * @param dy  [N, C]
 * @returns dx [N, C, HW]
 */
export function globalAvgPoolGradient(dy: Values, { N, C, HW }: GlobalAvgPoolSize): Float64Array {
  const dx = new Float64Array(N * C * HW);
  for (let plane = 0; plane < N * C; plane++) {
    for (let p = 0; p < HW; p++) dx[plane * HW + p] = dy[plane] / HW;
  }
  return dx;
}
