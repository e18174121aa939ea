import { type DropoutOptions, launchDropout } from "../kernels/dropout.ts";
import { ShapeError } from "../support/errors.ts";
import { expectWhole } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y = x · mask / (1 − probability), of any shape [N, …]. The mask is a function of seed, step, layer and the value's
 * position in the batch, so it is the same for every slab size. Backward draws it again instead of storing it.
 *
 * @param step the Step uniform
 * @throws ShapeError for a probability outside [0, 1), or a layer or sample that is not a whole number
 */
export function dropout(x: Tensor, step: Tensor, options: DropoutOptions): Tensor {
  const { probability, layer, firstSample } = options;
  if (!(probability >= 0 && probability < 1))
    throw new ShapeError(`dropout: expected a probability from 0 to below 1, got ${probability}`);
  expectWhole("dropout: layer", layer);
  expectWhole("dropout: firstSample", firstSample);
  const y = empty(x.gpu, x.shape, x.dtype, "dropout");
  launchDropout({ x, y, step }, options);
  differentiable("dropout", [x], y, (dy, destination) => {
    const dx = destination(x);
    if (dx) launchDropout({ x: dy, y: dx.tensor, step }, { ...options, accumulate: dx.accumulate });
    return [dx?.tensor ?? null];
  });
  return y;
}
