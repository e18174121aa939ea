/**
 * runs/<name>.sweep/: the configuration and the log of every run of a sweep. What has become of a run is read off its
 * run folder and its log, so it is known whoever started it, and however that ended.
 */
import { existsSync } from "node:fs";
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { writeFileAtomically } from "../storage/atomic-file.ts";
import { CheckpointFolder } from "../storage/checkpoint-file.ts";
import { fileError } from "../storage/file-error.ts";
import { makeFolder } from "../storage/folder.ts";
import { runFolderPath } from "../storage/run-folder.ts";
import { isLocked } from "../storage/run-lock.ts";
import type { Grid, GridRun } from "./grid.ts";
import { summaryOf } from "./resume.ts";
import type { RunSummary } from "./run-summary.ts";

export interface RunStatus {
  readonly name: string;
  readonly state: "done" | "running" | "stopped" | "failed" | "waiting";
  /** Of a run that failed or stopped, the last line that it printed. */
  readonly why: string;
  readonly summary: RunSummary | null;
  /** Of a run that has not finished, the step of its last checkpoint; 0 before the first. */
  readonly step: number;
}

export class SweepFolder {
  readonly path: string;
  readonly runsDirectory: string;

  private constructor(path: string, runsDirectory: string) {
    this.path = path;
    this.runsDirectory = runsDirectory;
  }

  /** Makes the folder and writes the configuration of every run. @throws DataError when the disk refuses */
  static async create(runsDirectory: string, grid: Grid): Promise<SweepFolder> {
    const folder = new SweepFolder(`${runFolderPath(runsDirectory, grid.name)}.sweep`, runsDirectory);
    await makeFolder(folder.path).catch((cause) => {
      throw fileError(cause, "create", folder.path);
    });
    for (const run of grid.runs) {
      await writeFileAtomically(folder.configOf(run), stringify(run.spec, { aliasDuplicateObjects: false }));
    }
    return folder;
  }

  configOf({ name }: GridRun): string {
    return join(this.path, `${name}.yaml`);
  }

  logOf({ name }: GridRun): string {
    return join(this.path, `${name}.log`);
  }

  async statusOf(run: GridRun): Promise<RunStatus> {
    const { name } = run;
    const folder = runFolderPath(this.runsDirectory, name);
    const last = await lastLine(this.logOf(run));
    if (!existsSync(folder))
      return { name, state: last === "" ? "waiting" : "failed", why: last, summary: null, step: 0 };
    const summary = await summaryOf(folder);
    if (summary) return { name, state: "done", why: "", summary, step: summary.steps };
    const step = (await new CheckpointFolder(folder).list("last"))[0]?.step ?? 0;
    if (await isLocked(folder)) return { name, state: "running", why: "", summary, step };
    return {
      name,
      state: /^stopped by /.test(last) ? "stopped" : "failed",
      why: last || "it was killed",
      summary,
      step,
    };
  }

  /** The status of all runs, in the grid's order. */
  async statuses(runs: readonly GridRun[]): Promise<RunStatus[]> {
    await readdir(this.path); // a folder that is gone is an error, not a sweep of which nothing has begun
    const statuses: RunStatus[] = [];
    for (const run of runs) statuses.push(await this.statusOf(run));
    return statuses;
  }
}

/** Bytes at the end of a log in which its last line is looked for. */
const TAIL = 4096;

/** The last line that is not empty; "" where there is no file. */
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
