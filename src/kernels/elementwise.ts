import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { bytesOf, element } from "./element.ts";
import { flatGrid } from "./grid.ts";

const ADD = defineKernel({
  file: "elementwise/add.wgsl",
  bindings: ["a", "b", "y"],
  params: ["count"],
  spec: ["Element", "Stored"],
});

const RELU = defineKernel({
  file: "elementwise/relu.wgsl",
  bindings: ["x", "y"],
  params: ["count"],
  spec: ["Element", "Stored"],
});

const RELU_GRAD = defineKernel({
  file: "elementwise/relu-grad.wgsl",
  bindings: ["y", "dy", "dx"],
  overrides: ["ACCUMULATE"],
  params: ["count"],
  spec: ["Element", "Stored"],
});

/** y = a + b, all of one size and type. */
export function launchAdd(t: { a: Tensor; b: Tensor; y: Tensor }): void {
  const { size } = t.y;
  t.y.gpu.run(ADD, { buffers: t, ...elements("add", t), cost: { flops: size, bytes: bytesOf(t) } });
}

/** y = max(x, 0), NaN where x is; both of one size and type. */
export function launchRelu(t: { x: Tensor; y: Tensor }): void {
  const { size } = t.y;
  t.y.gpu.run(RELU, { buffers: t, ...elements("relu", t), cost: { flops: size, bytes: bytesOf(t) } });
}

/** dx = dy where y > 0 or NaN, else 0, written or added to; all of one size and type. */
export function launchReluGrad(
  t: { y: Tensor; dy: Tensor; dx: Tensor },
  { accumulate }: { accumulate: boolean },
): void {
  const { size } = t.y;
  t.y.gpu.run(RELU_GRAD, {
    buffers: t,
    overrides: { ACCUMULATE: accumulate },
    ...elements("relu gradient", t),
    cost: { flops: size, bytes: bytesOf(t) + (accumulate ? t.dx.byteLength : 0) },
  });
}

/** Four values per lane if the size allows it. */
function elements(op: string, tensors: Readonly<Record<string, Tensor>> & { readonly y: Tensor }) {
  const { WIDTH, ...spec } = element(op, tensors.y.size, tensors);
  const count = tensors.y.size / WIDTH;
  return { params: { count }, spec, workgroups: flatGrid(count) };
}
