// runs/<name>/: everything one run leaves behind.
//
//   config.yaml       what it was asked to do, every choice in it
//   environment.json  command, commit, versions, adapter, the process that runs it
//   metrics.jsonl     the numbers as they come, and the same as metrics.csv
//   summary.json      the outcome; it exists when, and only when, the run has finished

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { lstat, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { DataError, UsageError } from "../support/errors.ts";
import { syncFolder, writeFileAtomically } from "./atomic-file.ts";
import { errorCode, fileError } from "./file-error.ts";
import type { GitState } from "./git.ts";
import { type MetricRow, MetricsLog } from "./metrics-log.ts";
import { isRunning, type ProcessIdentity, thisProcess } from "./process-identity.ts";

/** Where and with what a run was made. */
export interface RunEnvironment {
  /** The command line, as it could be typed again. */
  readonly command: string;
  /** The commit of this program; null where there is none. */
  readonly git: GitState | null;
  /** Name to version: this program, Node, the GPU library. */
  readonly versions: Readonly<Record<string, string>>;
  /** The adapter as the caller describes it; null for a run without one. */
  readonly adapter: unknown;
}

export interface RunFolderOptions<Column extends string> {
  /** The folder of all runs; made if missing. */
  readonly runsDirectory: string;
  readonly name: string;
  /** The effective configuration: plain JSON. */
  readonly configuration: object;
  readonly environment: RunEnvironment;
  /** Every column that the metrics of the run can have. */
  readonly columns: readonly Column[];
  /**
   * What to do with a folder of this name. `refuse` (default): an error. `replace-unfinished`: one without a summary,
   * whose process no longer runs, is deleted; anything else is an error.
   */
  readonly existing?: "refuse" | "replace-unfinished";
}

/** A folder that this process has claimed. */
export class RunFolder<Column extends string = string> {
  readonly path: string;
  readonly #metrics: MetricsLog<Column>;

  private constructor(path: string, metrics: MetricsLog<Column>) {
    this.path = path;
    this.#metrics = metrics;
  }

  /**
   * Claims runs/<name>/. The folder is filled under another name and renamed, so it appears whole, of two processes
   * one gets it, and a failure leaves nothing behind.
   * @throws UsageError when the name is unusable or taken; DataError when the disk refuses
   */
  static async claim<Column extends string>(options: RunFolderOptions<Column>): Promise<RunFolder<Column>> {
    const { runsDirectory, name, existing = "refuse" } = options;
    requireUsableName(name);
    const path = join(runsDirectory, name);
    if (existing === "replace-unfinished") await removeUnfinished(path, runsDirectory);
    if (existsSync(path)) throw taken(path);

    const staging = join(runsDirectory, `.${name}.${randomUUID()}.tmp`);
    // Without aliases: a list that occurs twice is written twice, as a reader expects.
    const configuration = stringify(options.configuration, { aliasDuplicateObjects: false });
    let metrics: MetricsLog<Column> | undefined;
    try {
      await mkdir(staging, { recursive: true });
      await writeFile(join(staging, "config.yaml"), configuration, { flush: true });
      await writeFile(join(staging, "environment.json"), json(environmentOf(options.environment)), {
        flush: true,
      });
      metrics = new MetricsLog(staging, options.columns);
      metrics.sync();
      await syncFolder(staging);
      await rename(staging, path);
      await syncFolder(runsDirectory);
      return new RunFolder(path, metrics);
    } catch (cause) {
      metrics?.close();
      await rm(staging, { recursive: true, force: true }).catch(() => undefined);
      if (["ENOTEMPTY", "EEXIST"].includes(errorCode(cause) ?? "")) throw taken(path);
      throw fileError(cause, "create the run folder", path);
    }
  }

  /** Path of a file in this folder. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes one line of metrics. @throws DataError when the disk refuses */
  append(row: MetricRow<Column>): void {
    this.#metrics.append(row);
  }

  /** Writes the outcome, which marks the run as finished, and closes the folder. @throws DataError when the disk refuses */
  async finish(summary: object): Promise<void> {
    this.#metrics.sync();
    await writeFileAtomically(this.file("summary.json"), json(summary));
    this.close();
  }

  /** Closes a run that does not finish. */
  close(): void {
    this.#metrics.close();
  }
}

/**
 * The outcome of the run in a folder, or null if there is no such folder or the run has not finished.
 * @throws DataError when the summary is damaged
 */
export async function readSummary(path: string): Promise<unknown> {
  return readJson(join(path, "summary.json"));
}

/** A name is one folder, not a path to somewhere else, and visible. */
function requireUsableName(name: string): void {
  // 100 characters leave room for the suffixes of temporary files within the usual 255 bytes.
  if (!/^[\w+=@,-][\w.+=@,-]{0,99}$/.test(name)) {
    throw new UsageError(
      `run name ${JSON.stringify(name)}: expected 1 to 100 letters, digits and any of . _ - + = @ , not starting with a dot`,
    );
  }
}

async function removeUnfinished(path: string, runsDirectory: string): Promise<void> {
  const owner = await ownerOf(path);
  if (owner === "absent") return;
  if (owner === "foreign" || existsSync(join(path, "summary.json"))) throw taken(path);
  const running = isRunning(owner);
  if (running !== false) {
    const where =
      running === "unknown"
        ? `process ${owner.pid} of ${owner.host} may still write it`
        : `process ${owner.pid} still writes it`;
    throw new UsageError(`run folder ${path}: unfinished, but ${where}: wait for it, or delete the folder`);
  }
  // Renamed first: of two processes that want to replace it one gets it, and no half-deleted folder has its name.
  const discarded = join(runsDirectory, `.${randomUUID()}.discarded`);
  try {
    await rename(path, discarded);
  } catch (cause) {
    if (errorCode(cause) === "ENOENT") return;
    throw fileError(cause, "replace the run folder", path);
  }
  const removed = await ownerOf(discarded);
  if (typeof removed === "object" && isRunning(removed) !== false) {
    // Another process has replaced the dead run in the meantime; this is its folder.
    await rename(discarded, path);
    throw taken(path);
  }
  await rm(discarded, { recursive: true, force: true }).catch((cause) => {
    throw fileError(cause, "delete", discarded);
  });
}

/** Which process made a run folder; "foreign" for something that is there, but no run folder. */
async function ownerOf(path: string): Promise<ProcessIdentity | "absent" | "foreign"> {
  const exists = await lstat(path).then(
    () => true,
    () => false,
  );
  if (!exists) return "absent";
  const environment = (await readJson(join(path, "environment.json")).catch(() => null)) as {
    process?: Partial<ProcessIdentity>;
  } | null;
  const { host, pid, birth } = environment?.process ?? {};
  if (typeof host !== "string" || typeof pid !== "number" || typeof birth !== "string") return "foreign";
  return { host, pid, birth };
}

/** null when there is no file. */
async function readJson(path: string): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(cause) ?? "")) return null;
    throw fileError(cause, "read", path);
  }
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(
      `${path}: expected JSON: ${(cause as Error).message}; delete the folder to run it again`,
      { cause },
    );
  }
}

function environmentOf(environment: RunEnvironment): object {
  return { ...environment, process: thisProcess(), started: new Date().toISOString() };
}

function taken(path: string): UsageError {
  return new UsageError(`run folder ${path} exists already: choose another --name, or move it away`);
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
