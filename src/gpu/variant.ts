/**
 * Kernels with variants have several files: narrow ones for subgroups of 8 lanes, as on CPUs, wide ones for hardware GPUs, and for f16
 * activations matrix ones on subgroup matrices, which leave shapes that do not suit them to the wide ones.
 */
import type { AdapterFacts } from "./adapter.ts";
import { MATRIX_FEATURE } from "./matrices.ts";

export const VARIANTS = ["narrow", "wide", "matrix"] as const;
export type Variant = (typeof VARIANTS)[number];

/** The variant of kernels that have no matrix version. */
export type BaseVariant = Exclude<Variant, "matrix">;

/** A launcher's settings for each variant, read with `[gpu.baseVariant]`. */
export type ByVariant<T> = Readonly<Record<BaseVariant, T>>;

/** Subgroup size that the narrow kernels are written for. */
const NARROW = 8;

/** WebGPU features that the matrix kernels need. */
const MATRIX_FEATURES = ["shader-f16", "subgroups", MATRIX_FEATURE];

/** The variants whose kernels are correct on an adapter; the first is the one that its features suggest. */
export function runnableVariants(opened: {
  readonly device: GPUDevice;
  readonly adapter: AdapterFacts;
}): readonly [Variant, ...Variant[]] {
  const { features } = opened.device;
  const { subgroupMinSize, subgroupMaxSize, matrices } = opened.adapter;
  const narrow = subgroupMinSize === NARROW && subgroupMaxSize === NARROW && features.has("subgroups");
  const matrix = matrices.length > 0 && MATRIX_FEATURES.every((feature) => features.has(feature));
  const others: Variant[] = matrix ? ["matrix"] : [];
  // A software adapter gains nothing from matrices.
  if (narrow) return ["narrow", "wide", ...others];
  return matrix ? ["matrix", "wide"] : ["wide"];
}
