import { createHash } from "node:crypto";
import { namedRegime } from "../train/base-regimes.ts";
import { RUN_OPTION_KEYS, type RunOptionKey, runOption } from "./run-options.ts";
import type { RunSpec } from "./run-spec.ts";

/**
 * Options of the first version, which are always hashed. An option added later is hashed only if it differs from
 * its default, so earlier runs keep their hashes.
 */
const FIRST_OPTIONS: ReadonlySet<RunOptionKey> = new Set<RunOptionKey>([
  "dataset",
  "subset",
  "augmentation",
  "model",
  "width",
  "hidden",
  "gamma",
  "topology",
  "batchSize",
  "ghostSize",
  "partial",
  "runningRule",
  "runningMomentum",
  "baseRegime",
  "learningRate",
  "momentum",
  "weightDecay",
  "epochs",
  "constantRate",
  "epochScale",
  "learningRateRule",
  "referenceBatchSize",
  "regime",
  "warmupSteps",
  "momentumReset",
  "clipNorm",
  "gradientNoise",
  "batchGrowth",
  "maxSteps",
  "onNan",
  "memory",
  "seed",
  "evaluateEvery",
]);

/**
 * 12 hexadecimal digits of the SHA-256 of the specification with sorted keys. It contains the numbers of the base regime instead of
 * its name, so that a change of the numbers makes another run. A renamed option is hashed under its former key.
 */
export function specHash(spec: RunSpec): string {
  const hashed: Record<string, unknown> = {};
  for (const key of RUN_OPTION_KEYS) {
    const { formerly, default: fallback } = runOption(key);
    if (!FIRST_OPTIONS.has(key) && spec[key] === fallback) continue;
    hashed[formerly ?? key] = key === "baseRegime" ? namedRegime(spec) : spec[key];
  }
  // A network from a file is identified by its text, wherever the file is.
  hashed["model"] = spec.model.replace(/^.*#/, "#");
  return createHash("sha256").update(canonicalJson(hashed)).digest("hex").slice(0, 12);
}

function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join()}]`;
  if (value === null || typeof value !== "object") return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, entry]) => entry !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return `{${entries.map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry)}`).join()}}`;
}
