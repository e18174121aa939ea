import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { bytesOf, element } from "./element.ts";
import { flatGrid } from "./grid.ts";

const FORWARD = defineKernel({
  file: "global-avg-pool/forward.wgsl",
  bindings: ["x", "y"],
  params: ["count", "pixels"],
  spec: ["Element", "Stored", "WIDTH"],
});

const GRAD_INPUT = defineKernel({
  file: "global-avg-pool/grad-input.wgsl",
  bindings: ["dy", "dx"],
  overrides: ["ACCUMULATE"],
  params: ["count", "pixels"],
  spec: ["Element", "Stored", "WIDTH"],
});

/**
 * y[n,c] = 1/HW · Σ x[n,c,·]
 *
 * @param t.x [N, C, H, W], f32 or f16
 * @param t.y [N, C] f32, written
 */
export function launchGlobalAvgPool(t: { x: Tensor; y: Tensor }): void {
  const { spec, pixels } = plane(t.x, t.y);
  const count = t.y.size;
  t.y.gpu.run(FORWARD, {
    buffers: t,
    params: { count, pixels },
    spec,
    workgroups: flatGrid(count),
    cost: { flops: t.x.size, bytes: bytesOf(t) },
  });
}

/**
 * dx[n,c,·] = dy[n,c] / HW, written or added to.
 *
 * @param t.dy [N, C] f32
 * @param t.dx [N, C, H, W], f32 or f16
 */
export function launchGlobalAvgPoolGradInput(
  t: { dy: Tensor; dx: Tensor },
  { accumulate }: { accumulate: boolean },
): void {
  const { spec, pixels } = plane(t.dx, t.dy);
  const count = t.dx.size / spec.WIDTH;
  t.dx.gpu.run(GRAD_INPUT, {
    buffers: t,
    overrides: { ACCUMULATE: accumulate },
    params: { count, pixels },
    spec,
    workgroups: flatGrid(count),
    cost: { flops: t.dx.size, bytes: bytesOf(t) + (accumulate ? t.dx.byteLength : 0) },
  });
}

/** Elements of a plane, four values each if HW allows it. */
function plane(images: Tensor, means: Tensor) {
  const HW = images.size / means.size;
  const spec = element("globalAvgPool", HW, { images });
  return { spec, pixels: HW / spec.WIDTH };
}
