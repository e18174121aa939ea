/**
 * Which kernel variants an adapter uses: what GHOSTBATCH_VARIANT says, else what was measured on it (`ghostbatch doctor`
 * does that once), else what its features suggest. Measurements are kept by adapter, driver and versions.
 */

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { AdapterFacts } from "../../gpu/adapter.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { runnableVariants, type Variant } from "../../gpu/variant.ts";
import { writeFileAtomically } from "../../storage/atomic-file.ts";
import { cacheDirectory } from "../../storage/cache-directory.ts";
import { makeFolder } from "../../storage/folder.ts";
import { env } from "../../support/env.ts";
import { DataError, DeviceError, UsageError } from "../../support/errors.ts";

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
    `GHOSTBATCH_VARIANT=${value}: the narrow kernels need subgroups of exactly 8 lanes, ${name} has ${lanes}: ` +
      "leave it out, or set it to wide",
  );
}

/** Keeps a measurement for the next processes; where nothing can be written, for this one alone. */
export async function rememberTimes(adapter: AdapterFacts, times: VariantTimes): Promise<void> {
  const all = { ...read(), [keyOf(adapter)]: { narrow: times.narrow, wide: times.wide } };
  try {
    await makeFolder(cacheDirectory());
    await writeFileAtomically(file(), JSON.stringify(all, null, 2));
  } catch (error) {
    // A cache that cannot be kept is measured again.
    if (!(error instanceof DataError)) throw error;
  }
}

function rememberedTimes(adapter: AdapterFacts): VariantTimes | null {
  const found = read()[keyOf(adapter)] as Partial<VariantTimes> | undefined;
  const { narrow, wide } = found ?? {};
  return typeof narrow === "number" && typeof wide === "number" ? { narrow, wide } : null;
}

function file(): string {
  return join(cacheDirectory(), "adapters.json");
}

function read(): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(file(), "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {}; // missing or damaged: as good as empty
  }
}

/** Drivers name their version in the adapter's description; kernels change with the program, compilers with webgpu. */
function keyOf({ name, vendor, architecture }: AdapterFacts): string {
  const require = createRequire(import.meta.url);
  const versionOf = (path: string) => (require(path) as { version: string }).version;
  const versions = [versionOf("../../../package.json"), versionOf("webgpu/package.json")];
  return [name, vendor, architecture, ...versions].join(" / ");
}
