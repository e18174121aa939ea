import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const ADD = defineKernel({ file: "elementwise/add.wgsl", bindings: ["a", "b", "y"], overrides: ["SIZE"] });
const RELU = defineKernel({ file: "elementwise/relu.wgsl", bindings: ["x", "y"], overrides: ["SIZE"] });
const RELU_GRAD = defineKernel({
  file: "elementwise/relu-grad.wgsl",
  bindings: ["y", "dy", "dx"],
  overrides: ["SIZE", "ACCUMULATE"],
});

/** y = a + b, all of one size. */
export function launchAdd(t: { a: Tensor; b: Tensor; y: Tensor }): void {
  const SIZE = t.y.size;
  t.y.gpu.run(ADD, {
    buffers: t,
    overrides: { SIZE },
    workgroups: flatGrid(SIZE),
    cost: { flops: SIZE, bytes: 12 * SIZE },
  });
}

/** y = max(x, 0), both of one size. */
export function launchRelu(t: { x: Tensor; y: Tensor }): void {
  const SIZE = t.y.size;
  t.y.gpu.run(RELU, {
    buffers: t,
    overrides: { SIZE },
    workgroups: flatGrid(SIZE),
    cost: { flops: SIZE, bytes: 8 * SIZE },
  });
}

/** dx = dy where y > 0, else 0, written or added to; all of one size. */
export function launchReluGrad(t: { y: Tensor; dy: Tensor; dx: Tensor }, { accumulate }: { accumulate: boolean }): void {
  const SIZE = t.y.size;
  t.y.gpu.run(RELU_GRAD, {
    buffers: t,
    overrides: { SIZE, ACCUMULATE: accumulate },
    workgroups: flatGrid(SIZE),
    cost: { flops: SIZE, bytes: (accumulate ? 16 : 12) * SIZE },
  });
}
