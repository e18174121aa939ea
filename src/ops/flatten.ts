import { leadingDims } from "../tensor/shape.ts";
import { type Tensor, view } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/** [N, …] to [N, product of the rest], in PyTorch's order; the same memory. @throws ShapeError for a tensor without dimensions */
export function flatten(x: Tensor): Tensor {
  const [N] = leadingDims("flatten: x", x.shape, 1);
  const y = view(x, [N, x.size / N]);
  differentiable("flatten", [x], y, (dy) => [view(dy, x.shape)]);
  return y;
}
