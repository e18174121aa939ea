/** Choices that `ghostbatch tune` measured: a file per adapter, driver and version of the program, in the cache directory. */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { AdapterFacts } from "../../gpu/adapter.ts";
import { type MatrixSize, matrixSizeText } from "../../gpu/matrices.ts";
import { Tuning, type Way } from "../../gpu/tuning.ts";
import { isMatrixTile, WIDE } from "../../kernels/tile-choice.ts";
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
  format: z.literal(2),
  /** Adapter, driver and versions of the measurement. */
  adapter: z.string(),
  /** The training steps whose kernels were measured. */
  steps: z.array(TunedStep),
  choices: Choices,
});
export type TuningFile = z.infer<typeof TuningFile>;

/** Before keys had the type of the activations. */
const UntypedFile = TuningFile.extend({ format: z.literal(1) });

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
    return readTuning(path).file;
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
  if (wanted === undefined) return new Tuning(storedTuning(adapter)?.choices);
  const { file, untyped } = readTuning(wanted);
  if (file.adapter !== adapterKey(adapter)) {
    console.error(
      `warning: ${wanted} was measured on ${file.adapter}, but this adapter is ${adapterKey(adapter)}`,
    );
  }
  if (untyped) {
    console.error(
      `note: ${wanted} is from before tiles were chosen by type: f32 uses its choices; for mixed precision run \`ghostbatch tune --precision mixed\``,
    );
  }
  return new Tuning(availableChoices(wanted, file.choices, adapter));
}

/** Removes the tiles of matrices that the adapter does not have, with a warning. */
function availableChoices(path: string, choices: TuningFile["choices"], adapter: AdapterFacts) {
  const there = new Set(adapter.matrices.map(matrixSizeText));
  const sizeOf = ({ M, N, D: K, Component: component }: Way) =>
    matrixSizeText({ M, N, K, component } as MatrixSize);
  const missing = new Set<string>();
  const available = Object.entries(choices).filter(([, way]) => {
    if (!isMatrixTile(way) || there.has(sizeOf(way))) return true;
    missing.add(sizeOf(way));
    return false;
  });
  const leftOut = Object.keys(choices).length - available.length;
  if (leftOut > 0) {
    console.error(
      `warning: ${path}: ${leftOut} choices are tiles of matrices of ${[...missing].join(", ")}, which ${adapter.name} does not multiply; these shapes run untuned: \`ghostbatch tune --precision mixed\` measures them here`,
    );
  }
  return Object.fromEntries(available);
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
    format: 2,
    adapter: adapterKey(adapter),
    steps: [...(before?.steps ?? []).filter((one) => !same(one)), step],
    choices: { ...before?.choices, ...choices },
  };
  const path = tuningPath(adapter);
  await writeObject(path, file);
  return path;
}

/** @returns what it holds, and whether its choices were all of one type */
function readTuning(path: string): { file: TuningFile; untyped: boolean } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new DataError(`${path}: cannot be read: ${messageOf(cause)}`, { cause });
  }
  let file: TuningFile | z.infer<typeof UntypedFile>;
  try {
    file = z.union([TuningFile, UntypedFile]).parse(JSON.parse(text));
  } catch (cause) {
    throw new DataError(`${path}: not written by \`ghostbatch tune\`; run it again`, { cause });
  }
  requireKnownVariants(path, file.choices);
  if (file.format === 2) return { file, untyped: false };
  // What was measured in f16 counts for f32 as well, as it did then; only f16 has tiles on matrices.
  const choices = Object.entries(file.choices).filter(([, way]) => !isMatrixTile(way));
  const steps = file.steps.filter(({ precision }) => precision === "f32");
  return { file: { ...file, format: 2, steps, choices: Object.fromEntries(choices) }, untyped: true };
}

/** @throws DataError for a choice of a kernel variant that there is none of */
function requireKnownVariants(path: string, choices: TuningFile["choices"]): void {
  for (const [key, { variant }] of Object.entries(choices)) {
    if (variant === undefined || variant === WIDE.variant) continue;
    throw new DataError(
      `${path}: ${key}: expected the variant ${WIDE.variant}, got ${JSON.stringify(variant)}; run \`ghostbatch tune\` again`,
    );
  }
}
