import { launchRelu, launchReluGrad } from "../kernels/elementwise.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/** y = max(x, 0), of any shape; the gradient at 0 is 0, and NaN stays NaN, as in PyTorch. */
export function relu(x: Tensor): Tensor {
  const y = empty(x.gpu, x.shape, x.dtype, "relu");
  launchRelu({ x, y });
  differentiable("relu", [x], y, (dy, destination) => {
    const dx = destination(x);
    if (dx) launchReluGrad({ y, dy, dx: dx.tensor }, { accumulate: dx.accumulate });
    return [dx?.tensor ?? null];
  });
  return y;
}
