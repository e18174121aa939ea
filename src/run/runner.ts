/** Runs specifications under names that carry their hash: what is finished is not run again. */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { LoadOptions } from "../datasets/load.ts";
import type { GpuSession } from "../host/node/gpu-session.ts";
import { RunFolder, runFolderPath } from "../storage/run-folder.ts";
import { DataError } from "../support/errors.ts";
import { plannedData, planTraining, requireRoom } from "./dry-run.ts";
import { environmentOf } from "./environment.ts";
import type { ExecuteOptions } from "./execute.ts";
import { METRIC_COLUMNS } from "./metric-lines.ts";
import { prepareRun } from "./prepare.ts";
import { resumeRun, summaryOf, tidyFinishedRun } from "./resume.ts";
import { runInFolder } from "./run-in-folder.ts";
import type { RunSpec } from "./run-spec.ts";
import type { RunSummary } from "./run-summary.ts";
import { specHash } from "./spec-hash.ts";

export interface RunnerOptions extends ExecuteOptions {
  readonly runsDirectory: string;
  readonly load?: LoadOptions;
  /** The command line, for the run's record. */
  readonly command: string;
}

export interface FinishedRun {
  readonly folder: string;
  readonly summary: RunSummary;
  /** Whether it was there already. */
  readonly reused: boolean;
}

/**
 * A finished run of the specification, under this label or that of another experiment; null if it has to be run.
 * @param report is told of damaged runs of other experiments, which are left out
 * @throws DataError when the summary of the run of this label is damaged
 */
export async function finishedRun(
  spec: RunSpec,
  label: string,
  runsDirectory: string,
  report: (line: string) => void = console.error,
): Promise<FinishedRun | null> {
  const own = runName(spec, label);
  const others = existsSync(runsDirectory)
    ? readdirSync(runsDirectory).filter((name) => name.endsWith(`-${specHash(spec)}`) && name !== own)
    : [];
  for (const name of [own, ...others.sort()]) {
    const folder = join(runsDirectory, name);
    const summary = await summaryOf(folder).catch((error: unknown) => {
      if (name === own || !(error instanceof DataError)) throw error;
      report(`warning: ${error.message}: this run is left out`);
      return null;
    });
    if (summary) return { folder, summary, reused: true };
  }
  return null;
}

/**
 * Runs a specification, or returns what a finished run of the same one says; an unfinished one goes on.
 * @throws as runInFolder; CapacityError for what does not fit the adapter, before there is a folder
 */
export async function runOnce(
  session: GpuSession,
  spec: RunSpec,
  label: string,
  options: RunnerOptions,
): Promise<FinishedRun> {
  const { runsDirectory, load, command, report = console.error } = options;
  const finished = await finishedRun(spec, label, runsDirectory, report);
  if (finished) {
    await tidyFinishedRun(finished.folder);
    return finished;
  }
  const prepared = await prepareRun(spec, load);
  const gpu = await session.open();
  // Before anything is written.
  requireRoom(planTraining(gpu, prepared, plannedData(prepared)));
  const environment = environmentOf(gpu, command, load);
  const name = runName(spec, label);
  const path = runFolderPath(runsDirectory, name);
  const { folder, from } = existsSync(path)
    ? await resumeRun(path, prepared, { environment, report })
    : {
        folder: await RunFolder.claim({
          runsDirectory,
          name,
          configuration: spec,
          environment,
          columns: METRIC_COLUMNS,
        }),
        from: null,
      };
  const summary = await runInFolder(session, prepared, folder, options, from);
  return { folder: folder.path, summary, reused: false };
}

function runName(spec: RunSpec, label: string): string {
  return `${label}-seed${spec.seed}-${specHash(spec)}`;
}
