// Float64 reference of max-pool: plain loops, no import from the rest of src/.

import { type PoolSize, poolOutputSize } from "./pool-size.ts";
import type { Values } from "./values.ts";

/**
 * y[n, c, p, q] = max of x over the window that starts at (p·stride − padding, q·stride − padding). Padding never
 * wins; of equal values the first in row-major order does, and NaN, the last of several, before any number: as in PyTorch.
 *
 * @param x  [N, C, H, W]
 * @returns y [N, C, P, Q]; indices [N, C, P, Q], where each maximum lies in its H·W plane
 */
export function maxPool(x: Values, size: PoolSize): { y: Float64Array; indices: Int32Array } {
  const { N, C, H, W, kernel, stride, padding } = size;
  const { P, Q } = poolOutputSize(size);
  const y = new Float64Array(N * C * P * Q);
  const indices = new Int32Array(N * C * P * Q);
  for (let plane = 0; plane < N * C; plane++) {
    for (let p = 0; p < P; p++) {
      for (let q = 0; q < Q; q++) {
        let best = Number.NEGATIVE_INFINITY;
        let at = -1;
        for (let r = 0; r < kernel; r++) {
          for (let s = 0; s < kernel; s++) {
            const h = p * stride - padding + r;
            const w = q * stride - padding + s;
            if (h < 0 || h >= H || w < 0 || w >= W) continue;
            const value = x[plane * H * W + h * W + w];
            if (at < 0 || value > best || Number.isNaN(value)) {
              best = value;
              at = h * W + w;
            }
          }
        }
        y[(plane * P + p) * Q + q] = best;
        indices[(plane * P + p) * Q + q] = at;
      }
    }
  }
  return { y, indices };
}

/**
 * dx gets each dy at the position of its window's maximum; where windows overlap, the sum.
 *
 * @param dy       [N, C, P, Q]
 * @param indices  [N, C, P, Q] of `maxPool`
 * @returns dx [N, C, H, W]
 */
export function maxPoolGradient(
  { dy, indices }: { dy: Values; indices: Int32Array },
  size: PoolSize,
): Float64Array {
  const { N, C, H, W } = size;
  const { P, Q } = poolOutputSize(size);
  const dx = new Float64Array(N * C * H * W);
  for (let plane = 0; plane < N * C; plane++) {
    for (let i = 0; i < P * Q; i++) dx[plane * H * W + indices[plane * P * Q + i]] += dy[plane * P * Q + i];
  }
  return dx;
}
