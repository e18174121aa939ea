import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const ADD = defineKernel({
  file: "elementwise/add.wgsl",
  bindings: ["a", "b", "y"],
  params: ["count"],
  spec: ["Element"],
});

const RELU = defineKernel({
  file: "elementwise/relu.wgsl",
  bindings: ["x", "y"],
  params: ["count"],
  spec: ["Element"],
});

const RELU_GRAD = defineKernel({
  file: "elementwise/relu-grad.wgsl",
  bindings: ["y", "dy", "dx"],
  overrides: ["ACCUMULATE"],
  params: ["count"],
  spec: ["Element"],
});

/** y = a + b, all of one size. */
export function launchAdd(t: { a: Tensor; b: Tensor; y: Tensor }): void {
  const { size } = t.y;
  t.y.gpu.run(ADD, { buffers: t, ...elements(size), cost: { flops: size, bytes: 12 * size } });
}

/** y = max(x, 0), NaN where x is; both of one size. */
export function launchRelu(t: { x: Tensor; y: Tensor }): void {
  const { size } = t.y;
  t.y.gpu.run(RELU, { buffers: t, ...elements(size), cost: { flops: size, bytes: 8 * size } });
}

/** dx = dy where y > 0 or NaN, else 0, written or added to; all of one size. */
export function launchReluGrad(
  t: { y: Tensor; dy: Tensor; dx: Tensor },
  { accumulate }: { accumulate: boolean },
): void {
  const { size } = t.y;
  t.y.gpu.run(RELU_GRAD, {
    buffers: t,
    overrides: { ACCUMULATE: accumulate },
    ...elements(size),
    cost: { flops: size, bytes: (accumulate ? 16 : 12) * size },
  });
}

/** Four values to a lane where the size allows it. */
function elements(size: number) {
  const count = size % 4 === 0 ? size / 4 : size;
  const Element = size % 4 === 0 ? "vec4f" : "f32";
  return { params: { count }, spec: { Element }, workgroups: flatGrid(count) };
}
