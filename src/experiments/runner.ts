/** Runs specifications under names that carry their hash: what is finished is not run again. */
import { join } from "node:path";
import type { Gpu } from "../gpu/gpu.ts";
import { RunFolder, readSummary } from "../storage/run-folder.ts";
import { executeRun, METRIC_COLUMNS, type Progress, type RunSummary } from "./execute.ts";
import { environmentOf } from "./environment.ts";
import { prepareRun } from "./prepare.ts";
import { type RunSpec, specHash } from "./run-spec.ts";

export interface RunnerOptions {
  readonly runsDirectory: string;
  readonly dataDir?: string | undefined;
  /** The command line, for the run's record. */
  readonly command: string;
  readonly onProgress?: (progress: Progress) => void;
}

export interface FinishedRun {
  readonly folder: string;
  readonly summary: RunSummary;
  /** Whether it was there already. */
  readonly reused: boolean;
}

/** The summary in a run's folder, or null if it has to be run. */
export async function finishedRun(spec: RunSpec, label: string, runsDirectory: string): Promise<FinishedRun | null> {
  const folder = join(runsDirectory, runName(spec, label));
  const summary = (await readSummary(folder)) as RunSummary | null;
  return summary && { folder, summary, reused: true };
}

/** Runs a specification, or returns what a finished run of the same one says; an unfinished one is run again. */
export async function runOnce(gpu: Gpu, spec: RunSpec, label: string, options: RunnerOptions): Promise<FinishedRun> {
  const { runsDirectory, dataDir, command, onProgress } = options;
  const finished = await finishedRun(spec, label, runsDirectory);
  if (finished) return finished;
  const prepared = await prepareRun(spec, { dataDir });
  const folder = await RunFolder.claim({
    runsDirectory,
    name: runName(spec, label),
    configuration: spec,
    environment: environmentOf(gpu, command),
    columns: METRIC_COLUMNS,
    existing: "replace-unfinished",
  });
  try {
    const summary = await gpu.lifetime(() => executeRun(gpu, prepared, folder, { ...(onProgress && { onProgress }) }));
    return { folder: folder.path, summary, reused: false };
  } finally {
    folder.close();
  }
}

function runName(spec: RunSpec, label: string): string {
  return `${label}-seed${spec.seed}-${specHash(spec)}`;
}
