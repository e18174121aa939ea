/** Kernels with variants have two files, one for subgroups of 8 lanes, as CPUs have, and one for real GPUs. */
import type { AdapterFacts } from "./adapter.ts";

export type Variant = "narrow" | "wide";

/** What a launcher does differently in each: a table, read with `[gpu.variant]`. */
export type ByVariant<T> = Readonly<Record<Variant, T>>;

/** Lanes of a subgroup that the narrow kernels are written for. */
const NARROW = 8;

/** The variants whose kernels give right results on an adapter: the first is the one that its features suggest. */
export function runnableVariants(opened: {
  readonly device: GPUDevice;
  readonly adapter: AdapterFacts;
}): readonly [Variant, ...Variant[]] {
  const { subgroupMinSize, subgroupMaxSize } = opened.adapter;
  const narrow = subgroupMinSize === NARROW && subgroupMaxSize === NARROW;
  return narrow && opened.device.features.has("subgroups") ? ["narrow", "wide"] : ["wide"];
}
