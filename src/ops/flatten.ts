import { type Tensor, view } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/** [N, …] to [N, product of the rest], in PyTorch's order; the same memory. */
export function flatten(x: Tensor): Tensor {
  const y = view(x, [x.shape[0]!, x.size / x.shape[0]!]);
  differentiable("flatten", [x], y, (dy) => [view(dy, x.shape)]);
  return y;
}
