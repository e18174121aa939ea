import { launchDistanceFinish, launchDistancePartial } from "../kernels/l2-distance.ts";
import { partialSums } from "../kernels/sgd.ts";
import { expectShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";

/**
 * ‖x − start‖₂ of two tensors of one shape, into `distance[index]`. Not differentiable.
 * Source: Hoffer et al. 2017, Figure 2.
 */
export function l2Distance(x: Tensor, start: Tensor, distance: Tensor, index = 0): void {
  expectShape("l2Distance: start", start.shape, x.shape);
  const partial = empty(x.gpu, [partialSums(x.size)], "f32", "distance partials");
  launchDistancePartial({ x, start, partial });
  launchDistanceFinish({ partial, distance }, index);
}
