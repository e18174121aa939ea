/**
 * Chooses the kernel variants for an adapter: GHOSTBATCH_VARIANT, else the result of a measurement (`ghostbatch doctor`
 * makes one), else what its features suggest. Measurements are stored by adapter, driver and versions. Where the wide kernels are
 * faster as a whole, but `ghostbatch tune` found shapes that are faster on matrices, the variant is "matrix".
 */

import { join } from "node:path";
import type { AdapterFacts } from "../../gpu/adapter.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Tuning } from "../../gpu/tuning.ts";
import { runnableVariants, VARIANTS, type Variant } from "../../gpu/variant.ts";
import { isMatrixTile } from "../../kernels/tile-choice.ts";
import { cacheDirectory } from "../../storage/cache-directory.ts";
import { env } from "../../support/env.ts";
import { DataError, DeviceError, UsageError } from "../../support/errors.ts";
import { adapterKey, readObject, writeObject } from "./adapter-cache.ts";

/** Time of the same work in each variant that the adapter can run, ms. */
export type VariantTimes = Readonly<Partial<Record<Variant, number>>>;

export interface VariantChoice {
  readonly variant: Variant;
  readonly reason: "GHOSTBATCH_VARIANT" | "tuned" | "measured" | "features";
  /** The measurement, if any. */
  readonly times: VariantTimes | null;
}

/**
 * The choice for an opened adapter whose `gpu.tuning` is set.
 * @throws UsageError for a GHOSTBATCH_VARIANT that does not exist, DeviceError for one that the adapter cannot run
 */
export function variantChoice(gpu: Gpu): VariantChoice {
  const runnable = runnableVariants(gpu);
  const times = rememberedTimes(gpu.adapter, runnable);
  const forced = forcedVariant(gpu.adapter, runnable);
  if (forced !== null) return { variant: forced, reason: "GHOSTBATCH_VARIANT", times };
  if (!times || runnable.length === 1) return { variant: runnable[0], reason: "features", times };
  const variant = runnable.reduce((best, one) => (times[one]! < times[best]! ? one : best));
  const tuned = variant === "wide" && runnable.includes("matrix") && choosesMatrices(gpu.tuning);
  return tuned ? { variant: "matrix", reason: "tuned", times } : { variant, reason: "measured", times };
}

function choosesMatrices({ choices }: Tuning): boolean {
  return Object.values(choices).some(isMatrixTile);
}

/**
 * Whether matrix kernels and wide ones compete for each shape of f16 activations: where both run, except where narrow kernels are
 * used or GHOSTBATCH_VARIANT asks for wide ones alone.
 */
export function matricesCompete(gpu: Gpu): boolean {
  const { variant, reason } = variantChoice(gpu);
  if (variant === "narrow" || !runnableVariants(gpu).includes("matrix")) return false;
  return variant === "matrix" || reason !== "GHOSTBATCH_VARIANT";
}

function forcedVariant(adapter: AdapterFacts, runnable: readonly Variant[]): Variant | null {
  const value = env.variant() ?? "";
  if (value === "") return null;
  const forced = VARIANTS.find((one) => one === value);
  if (forced === undefined) {
    throw new UsageError(`GHOSTBATCH_VARIANT: expected narrow, wide or matrix, got ${JSON.stringify(value)}`);
  }
  if (runnable.includes(forced)) return forced;
  if (forced === "matrix") {
    throw new DeviceError(
      `GHOSTBATCH_VARIANT=matrix: the matrix kernels need subgroup matrices with sums in f32, and ${adapter.name} has none: ` +
        "omit it, or set it to wide",
    );
  }
  const { name, subgroupMinSize, subgroupMaxSize } = adapter;
  const lanes = subgroupMaxSize > 0 ? `${subgroupMinSize} to ${subgroupMaxSize} lanes` : "no subgroups";
  throw new DeviceError(
    `GHOSTBATCH_VARIANT=${value}: the narrow kernels need subgroups of exactly 8 lanes, but ${name} has ${lanes}: ` +
      "omit it, or set it to wide",
  );
}

/** Stores a measurement for later processes; if it cannot be written, only for this one. */
export async function rememberTimes(adapter: AdapterFacts, times: VariantTimes): Promise<void> {
  try {
    await writeObject(file(), { ...readObject(file()), [adapterKey(adapter)]: times });
  } catch (error) {
    // Without a cache it is measured again.
    if (!(error instanceof DataError)) throw error;
  }
}

/** Null unless every possible variant has been measured. */
function rememberedTimes(adapter: AdapterFacts, runnable: readonly Variant[]): VariantTimes | null {
  const found = readObject(file())[adapterKey(adapter)] as Readonly<Record<string, unknown>> | undefined;
  const times: Partial<Record<Variant, number>> = {};
  for (const variant of runnable) {
    const ms = found?.[variant];
    if (typeof ms !== "number") return null;
    times[variant] = ms;
  }
  return times;
}

function file(): string {
  return join(cacheDirectory(), "adapters.json");
}
