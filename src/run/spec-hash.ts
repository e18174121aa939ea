import { createHash } from "node:crypto";
import { BASE_REGIMES } from "../train/base-regimes.ts";
import type { RunSpec } from "./run-spec.ts";

/**
 * 12 hexadecimal digits of the SHA-256 of the specification with sorted keys, the numbers of its base regime in place of the
 * name: a run by other numbers under the same name is another run.
 */
export function specHash(spec: RunSpec): string {
  const whole = { ...spec, baseRegime: BASE_REGIMES[spec.baseRegime] };
  return createHash("sha256").update(canonicalJson(whole)).digest("hex").slice(0, 12);
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry)}`).join()}}`;
}
