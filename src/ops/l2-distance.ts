import { launchDistanceFinish, launchDistancePartial } from "../kernels/l2-distance.ts";
import { partialSums } from "../kernels/sgd.ts";
import { ShapeError } from "../support/errors.ts";
import { expectShape, expectWhole } from "../tensor/shape.ts";
import { empty, expectType, type Tensor } from "../tensor/tensor.ts";

/**
 * ‖x − start‖₂ of two f32 tensors of one shape, into `distance[index]`. Not differentiable.
 * Source: Hoffer et al. 2017, Figure 2.
 * @throws ShapeError when shapes or types do not fit, or `distance` has no such element
 */
export function l2Distance(x: Tensor, start: Tensor, distance: Tensor, index = 0): void {
  expectShape("l2Distance: start", start.shape, x.shape);
  expectType("l2Distance", "f32", { x, start, distance });
  expectWhole("l2Distance: index", index);
  if (index >= distance.size)
    throw new ShapeError(`l2Distance: index ${index} is outside the ${distance.size} elements of distance`);
  const partial = empty(x.gpu, [partialSums(x.size)], "f32", "distance partials");
  launchDistancePartial({ x, start, partial });
  launchDistanceFinish({ partial, distance }, index);
}
