import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { bytesOf, floatType } from "./element.ts";
import { flatGrid } from "./grid.ts";
import { type PoolOptions, poolBlocks, poolOverrides } from "./pool-geometry.ts";

const FORWARD = defineKernel({
  file: "avg-pool/forward.wgsl",
  bindings: ["x", "y"],
  overrides: ["H", "W", "P", "Q", "KERNEL", "STRIDE", "PADDING"],
  params: ["count", "rows"],
  spec: ["Stored"],
});

const GRAD_INPUT = defineKernel({
  file: "avg-pool/grad-input.wgsl",
  bindings: ["dy", "dx"],
  overrides: ["H", "W", "P", "Q", "KERNEL", "STRIDE", "PADDING", "ACCUMULATE"],
  params: ["count", "reach"],
  spec: ["STEP", "Stored"],
});

/**
 * y = the mean of each window; padding counts as zeros, so the divisor is always kernel², which is PyTorch's default.
 *
 * @param t.x [N, C, H, W]
 * @param t.y [N, C, P, Q], written
 */
export function launchAvgPool(t: { x: Tensor; y: Tensor }, options: PoolOptions): void {
  const { size } = t.y;
  t.y.gpu.run(FORWARD, {
    buffers: t,
    overrides: poolOverrides(t.x.shape, t.y.shape, options),
    params: { count: size, rows: options.kernel },
    spec: { Stored: floatType("avgPool2d", { x: t.x, y: t.y }) },
    workgroups: flatGrid(size),
    cost: { flops: options.kernel ** 2 * size, bytes: bytesOf(t) },
  });
}

/**
 * dx = at each pixel 1/kernel² · Σ dy over the windows that hold it, written or added to.
 *
 * @param t.dy [N, C, P, Q]
 * @param t.dx [N, C, H, W]
 */
export function launchAvgPoolGradInput(
  t: { dy: Tensor; dx: Tensor },
  { accumulate, ...options }: PoolOptions & { accumulate: boolean },
): void {
  const { params, spec } = poolBlocks(t.dx.shape, options);
  t.dx.gpu.run(GRAD_INPUT, {
    buffers: t,
    overrides: { ...poolOverrides(t.dx.shape, t.dy.shape, options), ACCUMULATE: accumulate },
    params,
    spec: { ...spec, Stored: floatType("avgPool2d", { dy: t.dy, dx: t.dx }) },
    workgroups: flatGrid(params.count),
    cost: { flops: options.kernel ** 2 * t.dy.size, bytes: bytesOf(t) + (accumulate ? t.dx.byteLength : 0) },
  });
}
