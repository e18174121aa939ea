import { launchMaxPool, launchMaxPoolGradInput } from "../kernels/max-pool.ts";
import { type PoolOptions, pooledLength } from "../kernels/pool-geometry.ts";
import { dims } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y[n,c,p,q] = the largest value of the window, NaN where it has one; padding never wins. Of equal values the first in
 * row-major order gets the gradient, of several NaN the last, as in PyTorch.
 *
 * @param x [N, C, H, W]
 * @returns y [N, C, P, Q], P = ⌊(H + 2·padding − kernel) / stride⌋ + 1 and Q likewise
 * @throws ShapeError when a window is larger than the padded image
 */
export function maxPool2d(x: Tensor, options: PoolOptions): Tensor {
  const [N, C, H, W] = dims("maxPool2d: x", x.shape, 4);
  const shape = [N, C, pooledLength(H, options), pooledLength(W, options)];
  const y = empty(x.gpu, shape, x.dtype, "max pool");
  const indices = empty(x.gpu, shape, "u32", "max pool indices");
  launchMaxPool({ x, y, indices }, options);
  differentiable("maxPool2d", [x], y, (dy, destination) => {
    const dx = destination(x);
    if (dx) launchMaxPoolGradInput({ dy, indices, dx: dx.tensor }, { ...options, accumulate: dx.accumulate });
    return [dx?.tensor ?? null];
  });
  return y;
}
