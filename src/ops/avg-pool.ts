import { launchAvgPool, launchAvgPoolGradInput } from "../kernels/avg-pool.ts";
import { type PoolOptions, pooledLength } from "../kernels/pool-geometry.ts";
import { dims } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y[n,c,p,q] = 1/kernel² · Σ of the window; padding counts as zeros.
 *
 * @param x [N, C, H, W]
 * @returns y [N, C, P, Q]
 * @throws ShapeError when a window is larger than the padded image
 */
export function avgPool2d(x: Tensor, options: PoolOptions): Tensor {
  const [N, C, H, W] = dims("avgPool2d: x", x.shape, 4);
  const y = empty(x.gpu, [N, C, pooledLength(H, options), pooledLength(W, options)], x.dtype, "avg pool");
  launchAvgPool({ x, y }, options);
  differentiable("avgPool2d", [x], y, (dy, destination) => {
    const dx = destination(x);
    if (dx) launchAvgPoolGradInput({ dy, dx: dx.tensor }, { ...options, accumulate: dx.accumulate });
    return [dx?.tensor ?? null];
  });
  return y;
}
