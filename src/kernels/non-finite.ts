import { defineKernel } from "../gpu/kernel.ts";
import type { BufferView } from "../gpu/storage.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const COUNT = defineKernel({
  file: "non-finite/count.wgsl",
  bindings: ["x", "total"],
  overrides: ["SIZE"],
});

/** total[0] grows by how many numbers of x are NaN or infinite. x any f32 view, total [1] u32. */
export function launchCountNonFinite({ x, total }: { x: BufferView; total: Tensor }): void {
  const SIZE = Math.ceil(x.byteLength / 4);
  total.gpu.run(COUNT, {
    buffers: { x, total },
    overrides: { SIZE },
    workgroups: flatGrid(SIZE),
    cost: { flops: SIZE, bytes: 4 * SIZE },
  });
}

/**
 * total[0] grows by how many parameters and running statistics are NaN or infinite. values [SIZE], runningMean and
 * runningVariance [channels], total [1] u32; normState is null for a model without batch norm.
 */
export function launchCountNonFiniteState({
  values,
  normState,
  total,
}: {
  values: Tensor;
  normState: { readonly runningMean: Tensor; readonly runningVariance: Tensor } | null;
  total: Tensor;
}): void {
  const running = normState ? [normState.runningMean, normState.runningVariance] : [];
  for (const x of [values, ...running]) launchCountNonFinite({ x, total });
}
