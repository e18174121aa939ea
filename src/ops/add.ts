import { launchAdd } from "../kernels/elementwise.ts";
import { expectShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/** y = a + b, both of one shape. Its gradient is dy for both: shared, so the tape never adds to it in place. */
export function add(a: Tensor, b: Tensor): Tensor {
  expectShape("add: b", b.shape, a.shape);
  const y = empty(a.gpu, a.shape, a.dtype, "add");
  launchAdd({ a, b, y });
  differentiable("add", [a, b], y, (dy) => [dy, dy]);
  return y;
}
