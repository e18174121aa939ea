/**
 * Which kernel variants an adapter uses: what GHOSTBATCH_VARIANT says, else what was measured on it (`ghostbatch doctor`
 * does that once), else what its features suggest. Measurements are kept by adapter, driver and versions.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { AdapterFacts } from "../gpu/adapter.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { cacheDirectory } from "../storage/cache-directory.ts";
import { env } from "../support/env.ts";

export type Variant = Gpu["variant"];

/** Milliseconds of the same work in either variant. */
export type VariantTimes = Readonly<Record<Variant, number>>;

export interface VariantChoice {
  readonly variant: Variant;
  readonly reason: "GHOSTBATCH_VARIANT" | "measured" | "features";
  /** What was measured, if it was. */
  readonly times: VariantTimes | null;
}

/** The choice for an opened adapter, whose `variant` is that of its features. */
export function variantChoice(gpu: Gpu): VariantChoice {
  const times = rememberedTimes(gpu.adapter);
  const forced = env.variant();
  if (forced === "narrow" || forced === "wide")
    return { variant: forced, reason: "GHOSTBATCH_VARIANT", times };
  if (!times) return { variant: gpu.variant, reason: "features", times };
  return { variant: times.narrow < times.wide ? "narrow" : "wide", reason: "measured", times };
}

/** Keeps a measurement for the next processes; where nothing can be written, for this one alone. */
export function rememberTimes(adapter: AdapterFacts, times: VariantTimes): void {
  const all = { ...read(), [keyOf(adapter)]: { narrow: times.narrow, wide: times.wide } };
  const path = file();
  try {
    mkdirSync(cacheDirectory(), { recursive: true });
    const unfinished = `${path}.${process.pid}`;
    writeFileSync(unfinished, JSON.stringify(all, null, 2));
    renameSync(unfinished, path);
  } catch {
    // A cache that cannot be kept is measured again.
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
  const versions = [versionOf("../../package.json"), versionOf("webgpu/package.json")];
  return [name, vendor, architecture, ...versions].join(" / ");
}
