import { type DropoutOptions, launchDropout } from "../kernels/dropout.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y = x · mask / (1 − probability), of any shape [N, …]. The mask is a function of seed, step, layer and the value's
 * position in the batch, so it is the same for every slab size. Backward draws it again instead of storing it.
 *
 * @param step the Step uniform
 */
export function dropout(x: Tensor, step: Tensor, options: DropoutOptions): Tensor {
  const y = empty(x.gpu, x.shape, x.dtype, "dropout");
  launchDropout({ x, y, step }, options);
  differentiable("dropout", [x], y, (dy, destination) => {
    const dx = destination(x);
    if (dx) launchDropout({ x: dy, y: dx.tensor, step }, { ...options, accumulate: dx.accumulate });
    return [dx?.tensor ?? null];
  });
  return y;
}
