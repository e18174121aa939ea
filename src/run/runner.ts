/**
 * From a specification to a run in a folder, for all callers: what it needs, where it is stored, and whether it has
 * already been done.
 */

import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { LoadOptions } from "../datasets/load.ts";
import type { GpuSession } from "../host/node/gpu-session.ts";
import { type RunEnvironment, RunFolder, runFolderPath } from "../storage/run-folder.ts";
import { DataError } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import type { Communicator } from "../train/communicator.ts";
import { outlinedData, plannedData, planTraining, requireRoom, type TrainingPlan } from "./dry-run.ts";
import { environmentOf } from "./environment.ts";
import type { ExecuteOptions } from "./execute.ts";
import { type FollowOptions, followRun } from "./follow-run.ts";
import { METRIC_COLUMNS, type MetricColumn } from "./metric-lines.ts";
import { planRun } from "./plan-run.ts";
import { type PreparedRun, prepareRun } from "./prepare.ts";
import { broadcastCheckpoint } from "./rank-checkpoint.ts";
import { ONE_RANK, onRankZero } from "./ranks.ts";
import { type ResumedRun, resumeRun, summaryOf, tidyFinishedRun } from "./resume.ts";
import { runInFolder } from "./run-in-folder.ts";
import type { RunSpec } from "./run-spec.ts";
import type { RunSummary } from "./run-summary.ts";
import { runWarnings } from "./run-warnings.ts";
import { specHash } from "./spec-hash.ts";

/** A run with its data, and what it needs on this adapter. Nothing is written yet. */
export interface ReadyRun {
  readonly prepared: PreparedRun;
  readonly plan: TrainingPlan;
  readonly load: LoadOptions;
  /** Warnings for the user, one sentence each. */
  readonly warnings: readonly string[];
}

/** A new run folder, or one to continue. */
export type RunPlace =
  | { readonly runsDirectory: string; readonly name: string }
  | { readonly unfinished: string };

export interface StartOptions extends ExecuteOptions {
  /** The command line, for the run's record. */
  readonly command: string;
  /** Called when the folder has been claimed, before training. */
  readonly onStart?: () => void;
}

export interface RunnerOptions extends StartOptions {
  readonly runsDirectory: string;
  readonly load?: LoadOptions;
}

export interface FinishedRun {
  readonly folder: string;
  readonly summary: RunSummary;
  /** Whether it had already finished. */
  readonly reused: boolean;
}

/**
 * A finished run of the specification, under this label or that of another experiment; null if there is none.
 * @param report is called for damaged runs of other experiments, which are skipped
 * @throws DataError if the summary of the run with this label is damaged
 */
export async function finishedRun(
  spec: RunSpec,
  label: string,
  runsDirectory: string,
  report: MessageSink = console.error,
): Promise<FinishedRun | null> {
  const own = runName(spec, label);
  const others = existsSync(runsDirectory)
    ? readdirSync(runsDirectory).filter((name) => name.endsWith(`-${specHash(spec)}`) && name !== own)
    : [];
  for (const name of [own, ...others.sort()]) {
    const folder = join(runsDirectory, name);
    const summary = await summaryOf(folder).catch((error: unknown) => {
      if (name === own || !(error instanceof DataError)) throw error;
      report(`warning: ${error.message}: skipping this run`);
      return null;
    });
    if (summary) return { folder, summary, reused: true };
  }
  return null;
}

/** Bytes of images that can be generated or read in about a second. */
const LARGE_DATA = 256 * 2 ** 20;

/**
 * Loads the data of a run and plans its step. The plan lists what this adapter cannot hold.
 * @throws as prepareRun and planTraining
 */
export async function readyRun(
  session: GpuSession,
  spec: RunSpec,
  load: LoadOptions = {},
): Promise<ReadyRun> {
  // Slow data is loaded only after the plan is known to fit.
  const outline = load.dataDir === undefined ? outlinedData(spec) : null;
  if (outline !== null && outline.bytes > LARGE_DATA)
    requireRoom(planTraining(await session.open(), planRun(spec, outline.facts), outline));
  // Opening the software GPU starts the command line again, which would print these warnings twice.
  const held: string[] = [];
  const { onWarning } = load;
  const tell = () => {
    for (const warning of held.splice(0)) onWarning?.(warning);
  };
  const prepared = await prepareRun(spec, {
    ...load,
    onWarning: (warning) => void held.push(warning),
  }).catch((error: unknown) => {
    tell();
    throw error;
  });
  const gpu = await session.open();
  tell();
  const plan = planTraining(gpu, prepared, plannedData(prepared));
  return { prepared, plan, load, warnings: runWarnings(prepared) };
}

/**
 * Runs to the end in a new folder, or continues an existing one.
 * @throws CapacityError if it does not fit the adapter, before anything is written; as runInFolder and resumeRun
 */
export async function startRun(
  session: GpuSession,
  { prepared, plan, load }: ReadyRun,
  place: RunPlace,
  options: StartOptions,
): Promise<FinishedRun> {
  requireRoom(plan);
  const { command, control, onStart, report = console.error } = options;
  const { communicator } = options.ranks ?? ONE_RANK;
  const environment = environmentOf(await session.open(), command, load);
  control?.begin();
  const take = () =>
    "unfinished" in place
      ? resumeRun(place.unfinished, prepared, { environment, report })
      : claim(place, prepared.spec, environment).then((folder) => ({ folder, from: null }));
  const { folder, from } = await takenForAll(communicator, take);
  onStart?.();
  const summary = await runInFolder(session, prepared, folder, options, from);
  return { folder: folder.path, summary, reused: false };
}

/** Rank 0 claims the folder, and tells the others where to continue. @throws what `take` throws, which ends them too */
async function takenForAll(communicator: Communicator, take: () => Promise<ResumedRun>): Promise<ResumedRun> {
  let taken: ResumedRun | null = null;
  await onRankZero(communicator, async () => {
    taken = await take();
    return null;
  });
  const { folder, from } = taken!;
  await broadcastCheckpoint(communicator, from);
  return { folder, from };
}

/** The counterpart of `startRun` on ranks other than 0. A lost device ends the run. */
export async function startFollowing(
  session: GpuSession,
  { prepared, plan }: ReadyRun,
  options: FollowOptions,
): Promise<void> {
  requireRoom(plan);
  const { control, ranks } = options;
  const { communicator } = ranks;
  const gpu = await session.open();
  control.begin();
  await onRankZero(communicator, () => null);
  const from = await broadcastCheckpoint(communicator, null);
  await gpu.lifetime(() => followRun(gpu, prepared, options, from));
}

function claim(
  place: { readonly runsDirectory: string; readonly name: string },
  configuration: RunSpec,
  environment: RunEnvironment,
): Promise<RunFolder<MetricColumn>> {
  return RunFolder.claim({ ...place, configuration, environment, columns: METRIC_COLUMNS });
}

/**
 * Runs a specification under a name that contains its hash, or returns the outcome of a finished run of the same one; continues
 * an unfinished one.
 * @throws as startRun
 */
export async function runOnce(
  session: GpuSession,
  spec: RunSpec,
  label: string,
  options: RunnerOptions,
): Promise<FinishedRun> {
  const { runsDirectory, load, report = console.error } = options;
  const finished = await finishedRun(spec, label, runsDirectory, report);
  if (finished) {
    await tidyFinishedRun(finished.folder);
    return finished;
  }
  const name = runName(spec, label);
  const path = runFolderPath(runsDirectory, name);
  const ready = await readyRun(session, spec, load);
  for (const warning of ready.warnings) report(`warning: ${label}: ${warning}`);
  return startRun(session, ready, existsSync(path) ? { unfinished: path } : { runsDirectory, name }, options);
}

/** The folder name of a run with a label; it contains the specification's hash. */
export function runName(spec: RunSpec, label: string): string {
  return `${label}-seed${spec.seed}-${specHash(spec)}`;
}
