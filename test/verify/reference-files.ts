// Reference files in memory and on disk, and the engine's verdicts on them.

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { readSafetensors, type TensorToStore, writeSafetensors } from "../../src/storage/safetensors.ts";
import { openReferenceFile } from "../../src/verify/reference-file.ts";
import { type CaseResult, verifyFile } from "../../src/verify/verify.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

/** The folder of PyTorch's stored results. */
export const GOLDEN = fileURLToPath(new URL("../golden/", import.meta.url));

interface Case {
  [attribute: string]: unknown;
  op?: string;
  prefix?: string;
  tensors?: string[];
}

/** The attributes of a case that trains a model: one step of plain SGD. */
export const RUN = {
  batch: 2,
  ghost_size: 2,
  steps: 1,
  lr: 1,
  momentum: 0,
  weight_decay: 0,
  clip_norm: 0,
  bn_momentum: 0.1,
  bn_eps: 1e-5,
};

/** A golden file in memory, to be damaged. */
export async function golden(name: string): Promise<{ tensors: Map<string, TensorToStore>; cases: Case[] }> {
  const { tensors, metadata } = await readSafetensors(join(GOLDEN, name));
  return { tensors: new Map(tensors), cases: JSON.parse(metadata.get("cases")!) as Case[] };
}

/** Writes a reference file, which is removed when the test has finished. @param reference.cases JSON text, or a value to write as JSON */
export async function write(
  name: string,
  { tensors, cases }: { tensors: Map<string, TensorToStore>; cases: unknown },
): Promise<string> {
  const path = join(temporaryFolder(), name);
  const text = typeof cases === "string" ? cases : JSON.stringify(cases);
  await writeSafetensors(path, tensors, { cases: text });
  return path;
}

/** The results of all cases of a file. */
export async function verify(gpu: Gpu, path: string): Promise<CaseResult[]> {
  const file = await openReferenceFile(path);
  try {
    const results: CaseResult[] = [];
    for await (const result of verifyFile(gpu, file)) results.push(result);
    return results;
  } finally {
    await file.close();
  }
}
