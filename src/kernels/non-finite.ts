import { defineKernel } from "../gpu/kernel.ts";
import type { BufferView } from "../gpu/storage.ts";
import { ELEMENT_BYTES, type FloatType, type Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const COUNT = defineKernel({
  file: "non-finite/count.wgsl",
  bindings: ["x", "total"],
  overrides: ["SIZE", "NUMBERS", "HALVES"],
});

/** Adds the number of NaN and infinities in x to total[0]. x is any view of numbers of `type`, f32 by default; total [1] u32. */
export function launchCountNonFinite(
  { x, total }: { x: BufferView; total: Tensor },
  type: FloatType = "f32",
): void {
  const NUMBERS = x.byteLength / ELEMENT_BYTES[type];
  const SIZE = Math.ceil(x.byteLength / 4);
  total.gpu.run(COUNT, {
    buffers: { x, total },
    overrides: { SIZE, NUMBERS, HALVES: type === "f16" },
    workgroups: flatGrid(SIZE),
    cost: { flops: SIZE, bytes: 4 * SIZE },
  });
}

/**
 * Adds the number of NaN and infinite parameters and running statistics to total[0]. values [SIZE], runningMean and
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
