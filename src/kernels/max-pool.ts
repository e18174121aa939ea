import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { bytesOf, floatType } from "./element.ts";
import { flatGrid } from "./grid.ts";
import { type PoolOptions, poolBlocks, poolOverrides } from "./pool-geometry.ts";

const FORWARD = defineKernel({
  file: "max-pool/forward.wgsl",
  bindings: ["x", "y", "indices"],
  overrides: ["H", "W", "P", "Q", "KERNEL", "STRIDE", "PADDING"],
  params: ["count", "rows"],
  spec: ["Stored"],
});

const GRAD_INPUT = defineKernel({
  file: "max-pool/grad-input.wgsl",
  bindings: ["dy", "indices", "dx"],
  overrides: ["H", "W", "P", "Q", "KERNEL", "STRIDE", "PADDING", "ACCUMULATE"],
  params: ["count", "reach"],
  spec: ["STEP", "Stored"],
});

/**
 * y = the largest value of each window, indices = its index in the plane (h · W + w). Padding is ignored; of equal
 * values the first in row-major order is taken, as in PyTorch.
 *
 * @param t.x       [N, C, H, W]
 * @param t.y       [N, C, P, Q], written
 * @param t.indices [N, C, P, Q] u32, written
 */
export function launchMaxPool(t: { x: Tensor; y: Tensor; indices: Tensor }, options: PoolOptions): void {
  const { size } = t.y;
  t.y.gpu.run(FORWARD, {
    buffers: t,
    overrides: poolOverrides(t.x.shape, t.y.shape, options),
    params: { count: size, rows: options.kernel },
    spec: { Stored: floatType("maxPool2d", { x: t.x, y: t.y }) },
    workgroups: flatGrid(size),
    cost: { flops: options.kernel ** 2 * size, bytes: bytesOf(t) },
  });
}

/**
 * dx = at each pixel the sum of dy over the windows whose maximum it was, written or added to.
 *
 * @param t.dy      [N, C, P, Q]
 * @param t.indices [N, C, P, Q] u32 of `launchMaxPool`
 * @param t.dx      [N, C, H, W]
 */
export function launchMaxPoolGradInput(
  t: { dy: Tensor; indices: Tensor; dx: Tensor },
  { accumulate, ...options }: PoolOptions & { accumulate: boolean },
): void {
  const { params, spec } = poolBlocks(t.dx.shape, options);
  t.dx.gpu.run(GRAD_INPUT, {
    buffers: t,
    overrides: { ...poolOverrides(t.dx.shape, t.dy.shape, options), ACCUMULATE: accumulate },
    params,
    spec: { ...spec, Stored: floatType("maxPool2d", { dy: t.dy, dx: t.dx }) },
    workgroups: flatGrid(params.count),
    cost: { flops: t.dy.size, bytes: bytesOf(t) + (accumulate ? t.dx.byteLength : 0) },
  });
}
