/** Choices that `ghostbatch tune` measured: a file per adapter, driver and version of the program, in the cache directory. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { AdapterFacts } from "../../gpu/adapter.ts";
import { Tuning, type Way } from "../../gpu/tuning.ts";
import { cacheDirectory } from "../../storage/cache-directory.ts";
import { DataError, messageOf } from "../../support/errors.ts";
import { adapterKey, writeObject } from "./adapter-cache.ts";

const TunedStep = z.strictObject({
  model: z.string(),
  batch: z.int(),
  ghostSize: z.int(),
  precision: z.enum(["f32", "mixed"]).default("f32"),
  /** Date, such as 2026-11-25. */
  date: z.string(),
});
export type TunedStep = z.infer<typeof TunedStep>;

export const Choices = z.record(z.string(), z.record(z.string(), z.number().or(z.string())));

const TuningFile = z.strictObject({
  format: z.literal(1),
  /** Adapter, driver and versions of the measurement. */
  adapter: z.string(),
  /** The training steps whose kernels were measured. */
  steps: z.array(TunedStep),
  choices: Choices,
});
export type TuningFile = z.infer<typeof TuningFile>;

/** The file of an adapter's choices. */
export function tuningPath(adapter: AdapterFacts): string {
  const hash = createHash("sha256").update(adapterKey(adapter)).digest("hex").slice(0, 12);
  return join(cacheDirectory(), "tuning", `${hash}.json`);
}

/** The stored choices for an adapter; null if it was not tuned, or the file is damaged. */
export function storedTuning(adapter: AdapterFacts): TuningFile | null {
  const path = tuningPath(adapter);
  if (!existsSync(path)) return null;
  try {
    return readTuning(path);
  } catch {
    return null; // treated as missing, since it can be measured again
  }
}

/**
 * The choices for an adapter.
 * @param wanted "off", or a file; by default what is stored for the adapter
 * @throws DataError for a file that is missing or of another kind
 */
export function tuningFor(adapter: AdapterFacts, wanted: string | undefined): Tuning {
  if (wanted === "off") return new Tuning({}, { wanted: false });
  const file = wanted === undefined ? storedTuning(adapter) : readTuning(wanted);
  if (wanted !== undefined && file && file.adapter !== adapterKey(adapter)) {
    console.error(
      `warning: ${wanted} was measured on ${file.adapter}, but this adapter is ${adapterKey(adapter)}`,
    );
  }
  return new Tuning(file?.choices);
}

/**
 * Adds choices to the stored ones.
 * @returns the path of the file
 * @throws DataError if it cannot be written
 */
export async function keepTuning(
  adapter: AdapterFacts,
  step: TunedStep,
  choices: Readonly<Record<string, Way>>,
): Promise<string> {
  const before = storedTuning(adapter);
  const same = ({ model, batch, ghostSize, precision }: TunedStep) =>
    model === step.model &&
    batch === step.batch &&
    ghostSize === step.ghostSize &&
    precision === step.precision;
  const file: TuningFile = {
    format: 1,
    adapter: adapterKey(adapter),
    steps: [...(before?.steps ?? []).filter((one) => !same(one)), step],
    choices: { ...before?.choices, ...choices },
  };
  const path = tuningPath(adapter);
  await writeObject(path, file);
  return path;
}

function readTuning(path: string): TuningFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new DataError(`${path}: cannot be read: ${messageOf(cause)}`, { cause });
  }
  try {
    return TuningFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new DataError(`${path}: not written by \`ghostbatch tune\`; run it again`, { cause });
  }
}
