/**
 * runs/<name>.sweep/: the configuration and the log of every run of a sweep. The status of a run comes from its
 * run folder and its log, so it is known whoever started it and however it ended.
 */
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { summaryOf } from "../run/resume.ts";
import type { RunSummary } from "../run/run-summary.ts";
import { writeFileAtomically } from "../storage/atomic-file.ts";
import { CheckpointFolder } from "../storage/checkpoint-file.ts";
import { makeFolder } from "../storage/folder.ts";
import { runFolderPath } from "../storage/run-folder.ts";
import { isLocked, RunLock } from "../storage/run-lock.ts";
import { DataError, messageOf, UsageError } from "../support/errors.ts";
import type { Grid, GridRun } from "./grid.ts";

export interface RunStatus {
  readonly name: string;
  readonly state: "done" | "running" | "stopped" | "failed" | "waiting";
  /** For a run that failed or stopped, the last line that it printed. */
  readonly why: string;
  readonly summary: RunSummary | null;
  /** For an unfinished run, the step of its last checkpoint; 0 before the first. */
  readonly step: number;
}

export class SweepFolder {
  readonly path: string;
  readonly runsDirectory: string;

  /** The folder of a grid, which need not exist. */
  constructor(runsDirectory: string, { name }: Grid) {
    this.path = `${runFolderPath(runsDirectory, name)}.sweep`;
    this.runsDirectory = runsDirectory;
  }

  /** Creates the folder and writes the configuration of every run. @throws DataError if that fails */
  async create(runs: readonly GridRun[]): Promise<void> {
    await makeFolder(this.path);
    for (const run of runs) {
      await writeFileAtomically(this.configOf(run), stringify(run.spec, { aliasDuplicateObjects: false }));
    }
  }

  /**
   * Claims a run before starting it, so that two sweeps never run it, and write its log, at the same time.
   * @returns a function that releases it; null for a run that is done, or that another process has claimed
   * @throws DataError if writing fails
   */
  async claim(run: GridRun): Promise<RunLock | null> {
    const path = this.#claimOf(run);
    await makeFolder(path);
    const lock = await RunLock.acquire(path).catch((error: unknown) => {
      if (error instanceof UsageError) return null;
      throw error;
    });
    if (lock === null) return null;
    // It may have been started or finished before it was claimed.
    const { state } = await this.#foundStatusOf(run);
    if (state !== "done" && state !== "running") return lock;
    await lock.release();
    return null;
  }

  configOf({ name }: GridRun): string {
    return join(this.path, `${name}.yaml`);
  }

  logOf({ name }: GridRun): string {
    return join(this.path, `${name}.log`);
  }

  #claimOf({ name }: GridRun): string {
    return join(this.path, `${name}.claim`);
  }

  async statusOf(run: GridRun): Promise<RunStatus> {
    const status = await this.#foundStatusOf(run);
    if (status.state === "done" || !existsSync(this.#claimOf(run))) return status;
    return (await isLocked(this.#claimOf(run))) ? { ...status, state: "running", why: "" } : status;
  }

  /** The status of a run, from its run folder and its log. */
  async #foundStatusOf(run: GridRun): Promise<RunStatus> {
    const { name } = run;
    const folder = runFolderPath(this.runsDirectory, name);
    const last = await lastLine(this.logOf(run));
    const ended = /^stopped by /.test(last) ? "stopped" : "failed";
    if (!existsSync(folder))
      return { name, state: last === "" ? "waiting" : ended, why: last, summary: null, step: 0 };
    const summary = await summaryOf(folder).catch((error: unknown) => {
      if (error instanceof DataError) return error;
      throw error;
    });
    // Its damage concerns no other run of the grid.
    if (summary instanceof DataError)
      return { name, state: "failed", why: messageOf(summary), summary: null, step: 0 };
    if (summary) return { name, state: "done", why: "", summary, step: summary.steps };
    const step = (await new CheckpointFolder(folder).list("last"))[0]?.step ?? 0;
    if (await isLocked(folder)) return { name, state: "running", why: "", summary, step };
    return { name, state: ended, why: last || "it was killed", summary, step };
  }

  /** The status of all runs, in the order of the grid. */
  async statuses(runs: readonly GridRun[]): Promise<RunStatus[]> {
    const statuses: RunStatus[] = [];
    for (const run of runs) statuses.push(await this.statusOf(run));
    return statuses;
  }
}

/** Bytes at the end of a log that are searched for its last line. */
const TAIL = 4096;

/** The last non-empty line; "" if there is no file. */
async function lastLine(path: string): Promise<string> {
  const file = await open(path, "r").catch(() => null);
  if (file === null) return "";
  try {
    const { size } = await file.stat();
    const bytes = new Uint8Array(Math.min(TAIL, size));
    await file.read(bytes, 0, bytes.length, size - bytes.length);
    const lines = new TextDecoder().decode(bytes).split("\n");
    return lines.findLast((line) => line.trim() !== "")?.trim() ?? "";
  } finally {
    await file.close();
  }
}
