/** Resuming runs: which one, whether it can be resumed, and from where. */

import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointFolder } from "../storage/checkpoint-file.ts";
import { errorCode, fileError } from "../storage/file-error.ts";
import { removeLeftovers } from "../storage/leftovers.ts";
import { type RunEnvironment, RunFolder, readSummary } from "../storage/run-folder.ts";
import { isLocked, removeLocks } from "../storage/run-lock.ts";
import { describeFault } from "../support/damage.ts";
import { DataError, messageOf, UsageError } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { BASE_REGIMES } from "../train/base-regimes.ts";
import { dataFingerprint } from "./data-fingerprint.ts";
import { METRIC_COLUMNS, type MetricColumn } from "./metric-lines.ts";
import { baseRegimeOf } from "./plan-run.ts";
import type { PreparedRun } from "./prepare.ts";
import { loadCheckpoint, type RunCheckpoint } from "./run-checkpoint.ts";
import type { RunOptionKey } from "./run-options.ts";
import { ghostSizeOf, type RunSpec, type RunSpecInput } from "./run-spec.ts";
import { RunSummary } from "./run-summary.ts";
import { Tally } from "./tally.ts";

/**
 * The most recently written folder of an unfinished run that no process is writing.
 * @param report is called for folders that cannot be read, which are skipped
 * @throws UsageError if there is none
 */
export async function newestUnfinishedRun(
  runsDirectory: string,
  report: MessageSink = console.error,
): Promise<string> {
  let newest: { path: string; written: number } | null = null;
  for (const name of await namesIn(runsDirectory)) {
    const path = join(runsDirectory, name);
    const written = await stat(join(path, "metrics.jsonl")).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    );
    if (name.startsWith(".") || written === null || (newest && written <= newest.written)) continue;
    try {
      if ((await readSummary(path)) === null && !(await isLocked(path))) newest = { path, written };
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      report(`warning: ${error.message}: skipping this run`);
    }
  }
  if (!newest) throw new UsageError(`--resume: no unfinished run in ${runsDirectory}`);
  return newest.path;
}

/**
 * Checks that options given again match those of the run.
 * @param given the user's options, by key
 * @param written how the user writes an option
 * @throws UsageError naming the first that differs
 */
export function requireSameOptions(
  stored: RunSpec,
  given: RunSpecInput,
  written: (key: RunOptionKey, value: unknown) => string,
): void {
  for (const [key, value] of Object.entries(given) as [RunOptionKey, unknown][]) {
    const kept = stored[key];
    if (JSON.stringify(kept ?? null) === JSON.stringify(value ?? null)) continue;
    if (meaningOf(stored, key) === meaningOf({ ...stored, [key]: value }, key)) continue;
    const text = (of: unknown) => (of === undefined ? "none" : JSON.stringify(of));
    throw new UsageError(
      `${written(key, value)}: this run was started with ${text(kept)}; a different value would change its result. Omit the option, or start a new run`,
    );
  }
}

const REGIME_KEYS = ["baseRegime", "learningRate", "momentum", "weightDecay", "epochs"];

/** The effective value of an option that may only repeat its default; else a unique value. */
function meaningOf(spec: RunSpec, key: string): unknown {
  if (REGIME_KEYS.includes(key) && (spec.baseRegime === "own" || spec.baseRegime in BASE_REGIMES))
    return JSON.stringify(baseRegimeOf(spec));
  if (key === "ghostSize") return ghostSizeOf(spec);
  return Symbol(key);
}

/** The outcome of a finished run, else null. @throws DataError if it is damaged */
export async function summaryOf(path: string): Promise<RunSummary | null> {
  const stored = await readSummary(path);
  if (stored === null) return null;
  const result = RunSummary.safeParse(stored);
  if (result.success) return result.data;
  throw new DataError(
    `${join(path, "summary.json")}: damaged: ${describeFault(result.error.issues, stored)}; delete the folder to run it again`,
  );
}

/**
 * Cleans up after a process that was killed after writing the outcome of its run but before removing checkpoints,
 * temporary files and its lock. Ignores failures to remove, on which the outcome does not depend.
 */
export async function tidyFinishedRun(path: string): Promise<void> {
  try {
    const checkpoints = new CheckpointFolder(path);
    await checkpoints.sweep();
    await checkpoints.keepBest();
    await removeLeftovers(path);
    await removeLocks(path);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
  }
}

export interface ResumedRun {
  readonly folder: RunFolder<MetricColumn>;
  /** Null if the run ended before its first checkpoint, so it starts over. */
  readonly from: RunCheckpoint | null;
}

/**
 * Takes over an unfinished run.
 * @throws UsageError if another process is writing it or it has finished; DataError if no checkpoint can be used, or the
 *   data are not those with which it started
 */
export async function resumeRun(
  path: string,
  prepared: PreparedRun,
  { environment, report }: { environment: RunEnvironment; report: MessageSink },
): Promise<ResumedRun> {
  const folder = await RunFolder.resume(path, { columns: METRIC_COLUMNS, environment, report });
  try {
    const files = new CheckpointFolder(path);
    await files.completeInterrupted();
    const from = await loadCheckpoint(path, prepared.spec, {
      report,
      requireUsable: (checkpoint) => {
        try {
          folder.requirePosition(checkpoint.content.metrics);
        } catch (error) {
          throw new DataError(`${checkpoint.path}: its metrics are gone: ${messageOf(error)}`, {
            cause: error,
          });
        }
      },
    });
    if (from) {
      requireSameData(from, prepared);
      await reportLostBest(files, from, report);
      reportDifferences(from, environment, report);
    }
    report(
      from
        ? `resuming ${path} after step ${from.content.position.step}`
        : `${path} has no checkpoint yet; starting over`,
    );
    return { folder, from };
  } catch (error) {
    await folder.close();
    throw error;
  }
}

/** The weights of the best evaluation are not needed to continue, but the user should know if they are lost. */
async function reportLostBest(
  files: CheckpointFolder,
  { content }: RunCheckpoint,
  report: MessageSink,
): Promise<void> {
  const { best } = new Tally(content.tally);
  if (best === null) return;
  try {
    await files.read({ kind: "best", step: best.step });
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    report(
      `warning: ${messageOf(error)}: the weights of the best evaluation so far, after step ${best.step}, are lost; the run continues`,
    );
    // Damaged weights must not be mistaken for good ones when the run has finished.
    await files.prune(await files.list("last"));
  }
}

function requireSameData({ path, content }: RunCheckpoint, { dataset }: PreparedRun): void {
  const found = dataFingerprint(dataset);
  if (found === content.data) return;
  throw new DataError(
    `${path}: the run started with different training data (${content.data}) than ${dataset.name} here (${found}); check --data-dir`,
  );
}

/** Warns of differences that may change the last bits of the result. */
function reportDifferences(
  { content }: RunCheckpoint,
  { adapter, versions }: RunEnvironment,
  report: MessageSink,
): void {
  const differing = (before: object, now: object) =>
    Object.entries(before).filter(
      ([key, value]) => JSON.stringify((now as Record<string, unknown>)[key]) !== JSON.stringify(value),
    );
  for (const [key, value] of differing(
    { adapter: content.adapter.name, ...content.versions },
    { adapter: (adapter as { name?: string } | null)?.name, ...versions },
  )) {
    report(
      `warning: the run started with ${key} ${value}; the last bits of its result may differ from those of an uninterrupted run`,
    );
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return [];
    throw fileError(cause, "read", folder);
  }
}
