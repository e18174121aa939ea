/**
 * Which kernel variants an adapter uses: what GHOSTBATCH_VARIANT says, else what was measured on it (`ghostbatch doctor`
 * does that once), else what its features suggest. Measurements are kept by adapter, driver and versions.
 */

import { join } from "node:path";
import type { AdapterFacts } from "../../gpu/adapter.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { runnableVariants, type Variant } from "../../gpu/variant.ts";
import { cacheDirectory } from "../../storage/cache-directory.ts";
import { env } from "../../support/env.ts";
import { DataError, DeviceError, UsageError } from "../../support/errors.ts";
import { adapterKey, readObject, writeObject } from "./adapter-cache.ts";

/** Milliseconds of the same work in either variant. */
export type VariantTimes = Readonly<Record<Variant, number>>;

export interface VariantChoice {
  readonly variant: Variant;
  readonly reason: "GHOSTBATCH_VARIANT" | "measured" | "features";
  /** What was measured, if it was. */
  readonly times: VariantTimes | null;
}

/**
 * The choice for an opened adapter.
 * @throws UsageError for a GHOSTBATCH_VARIANT that does not exist, DeviceError for one that the adapter cannot run
 */
export function variantChoice(gpu: Gpu): VariantChoice {
  const runnable = runnableVariants(gpu);
  const times = rememberedTimes(gpu.adapter);
  const forced = forcedVariant(gpu.adapter, runnable);
  if (forced !== null) return { variant: forced, reason: "GHOSTBATCH_VARIANT", times };
  if (!times || runnable.length === 1) return { variant: runnable[0], reason: "features", times };
  return { variant: times.narrow < times.wide ? "narrow" : "wide", reason: "measured", times };
}

function forcedVariant(adapter: AdapterFacts, runnable: readonly Variant[]): Variant | null {
  const value = env.variant() ?? "";
  if (value === "") return null;
  if (value !== "narrow" && value !== "wide") {
    throw new UsageError(`GHOSTBATCH_VARIANT: expected narrow or wide, got ${JSON.stringify(value)}`);
  }
  if (runnable.includes(value)) return value;
  const { name, subgroupMinSize, subgroupMaxSize } = adapter;
  const lanes = subgroupMaxSize > 0 ? `${subgroupMinSize} to ${subgroupMaxSize} lanes` : "no subgroups";
  throw new DeviceError(
    `GHOSTBATCH_VARIANT=${value}: the narrow kernels need subgroups of exactly 8 lanes, but ${name} has ${lanes}: ` +
      "omit it, or set it to wide",
  );
}

/** Keeps a measurement for the next processes; where nothing can be written, for this one alone. */
export async function rememberTimes(adapter: AdapterFacts, times: VariantTimes): Promise<void> {
  const { narrow, wide } = times;
  try {
    await writeObject(file(), { ...readObject(file()), [adapterKey(adapter)]: { narrow, wide } });
  } catch (error) {
    // A cache that cannot be kept is measured again.
    if (!(error instanceof DataError)) throw error;
  }
}

function rememberedTimes(adapter: AdapterFacts): VariantTimes | null {
  const found = readObject(file())[adapterKey(adapter)] as Partial<VariantTimes> | undefined;
  const { narrow, wide } = found ?? {};
  return typeof narrow === "number" && typeof wide === "number" ? { narrow, wide } : null;
}

function file(): string {
  return join(cacheDirectory(), "adapters.json");
}
