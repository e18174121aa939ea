import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";
import { type PoolOptions, poolBlocks, poolOverrides } from "./pool-geometry.ts";

const FORWARD = defineKernel({
  file: "avg-pool/forward.wgsl",
  bindings: ["x", "y"],
  overrides: ["H", "W", "P", "Q", "KERNEL", "STRIDE", "PADDING"],
  params: ["count", "rows"],
});

const GRAD_INPUT = defineKernel({
  file: "avg-pool/grad-input.wgsl",
  bindings: ["dy", "dx"],
  overrides: ["H", "W", "P", "Q", "KERNEL", "STRIDE", "PADDING", "ACCUMULATE"],
  params: ["count", "reach"],
  spec: ["STEP"],
});

/**
 * y = the mean of each window; padding counts as zeros, so the divisor is always kernel², as PyTorch's default has it.
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
    workgroups: flatGrid(size),
    cost: { flops: options.kernel ** 2 * size, bytes: 4 * (t.x.size + size) },
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
  const { size } = t.dx;
  const { params, spec } = poolBlocks(t.dx.shape, options);
  t.dx.gpu.run(GRAD_INPUT, {
    buffers: t,
    overrides: { ...poolOverrides(t.dx.shape, t.dy.shape, options), ACCUMULATE: accumulate },
    params,
    spec,
    workgroups: flatGrid(params.count),
    cost: { flops: options.kernel ** 2 * t.dy.size, bytes: 4 * (t.dy.size + (accumulate ? 2 : 1) * size) },
  });
}
