// Float64 reference of avg-pool: plain loops, no import from the rest of src/.

import { type PoolSize, poolOutputSize } from "./pool-size.ts";
import type { Values } from "./values.ts";

/**
 * y[n, c, p, q] = 1/kernel² · Σ x over the window that starts at (p·stride − padding, q·stride − padding). Padding
 * counts as zeros, so the divisor is always kernel², which is PyTorch's default.
 *
 * @param x  [N, C, H, W]
 * @returns y [N, C, P, Q]
 */
export function avgPool(x: Values, size: PoolSize): Float64Array {
  const { P, Q } = poolOutputSize(size);
  const y = new Float64Array(size.N * size.C * P * Q);
  forEachPair(size, (atX, atY) => {
    y[atY] += x[atX] / size.kernel ** 2;
  });
  return y;
}

/**
 * dx[n, c, h, w] = 1/kernel² · Σ dy over the windows that hold (h, w).
 *
 * @param dy  [N, C, P, Q]
 * @returns dx [N, C, H, W]
 */
export function avgPoolGradient(dy: Values, size: PoolSize): Float64Array {
  const dx = new Float64Array(size.N * size.C * size.H * size.W);
  forEachPair(size, (atX, atY) => {
    dx[atX] += dy[atY] / size.kernel ** 2;
  });
  return dx;
}

/** Calls `visit(atX, atY)` for every input pixel of every window; padding is left out. */
function forEachPair(size: PoolSize, visit: (atX: number, atY: number) => void): void {
  const { N, C, H, W, kernel, stride, padding } = size;
  const { P, Q } = poolOutputSize(size);
  for (let plane = 0; plane < N * C; plane++) {
    for (let p = 0; p < P; p++) {
      for (let q = 0; q < Q; q++) {
        for (let r = 0; r < kernel; r++) {
          for (let s = 0; s < kernel; s++) {
            const h = p * stride - padding + r;
            const w = q * stride - padding + s;
            if (h < 0 || h >= H || w < 0 || w >= W) continue;
            visit((plane * H + h) * W + w, (plane * P + p) * Q + q);
          }
        }
      }
    }
  }
}
