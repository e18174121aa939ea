// runs/<name>/: everything one run leaves behind.
//
//   config.yaml       what it was asked to do, every choice in it
//   environment.json  command, commit, versions, adapter, the process that runs it
//   metrics.jsonl     the numbers as they come, and the same as metrics.csv
//   checkpoints/      where to go on from (checkpoint-file.ts)
//   lock-N.json       the process that writes it (run-lock.ts), while there is one
//   summary.json      the outcome; it exists when, and only when, the run has finished

import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { DataError, messageOf, UsageError } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { writeFileAtomically } from "./atomic-file.ts";
import { errorCode, fileError } from "./file-error.ts";
import { makeFolder, syncFolder } from "./folder.ts";
import type { GitState } from "./git.ts";
import { removeAbandonedClaims, removeLeftovers, stagingName } from "./leftovers.ts";
import { type MetricRow, MetricsLog, type MetricsPosition } from "./metrics-log.ts";
import { thisProcess } from "./process-identity.ts";
import { RunLock } from "./run-lock.ts";
import { readTextFileIfAny } from "./text-file.ts";

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
  /** The folder it was started in, absolute: where relative paths of its data begin. */
  readonly workingDirectory?: string;
  /** The folder of the data set's own files, absolute, where one was named. */
  readonly dataDirectory?: string;
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
}

/** A folder that this process alone writes. */
export class RunFolder<Column extends string = string> {
  readonly path: string;
  readonly #metrics: MetricsLog<Column>;
  readonly #lock: RunLock;

  private constructor(path: string, metrics: MetricsLog<Column>, lock: RunLock) {
    this.path = path;
    this.#metrics = metrics;
    this.#lock = lock;
  }

  /**
   * Claims runs/<name>/. The folder is filled under another name and renamed, so it appears whole, of two processes
   * one gets it, and a failure leaves nothing behind.
   * @throws UsageError when the name is unusable or taken; DataError when the disk refuses
   */
  static async claim<Column extends string>(options: RunFolderOptions<Column>): Promise<RunFolder<Column>> {
    const { runsDirectory, name } = options;
    const path = runFolderPath(runsDirectory, name);
    if (existsSync(path)) throw taken(path);

    const staging = join(runsDirectory, stagingName(name));
    // Without aliases: a list that occurs twice is written twice, as a reader expects.
    const configuration = stringify(options.configuration, { aliasDuplicateObjects: false });
    let metrics: MetricsLog<Column> | undefined;
    let lock: RunLock | undefined;
    try {
      await makeFolder(runsDirectory);
      await mkdir(staging);
      // First, so that what a killed process leaves says whose it was.
      lock = await RunLock.acquire(staging);
      await writeFile(join(staging, "config.yaml"), configuration, { flush: true });
      await writeFile(join(staging, "environment.json"), json(environmentOf(options.environment)), {
        flush: true,
      });
      metrics = MetricsLog.create(staging, options.columns);
      await metrics.sync();
      await syncFolder(staging);
      await rename(staging, path);
      lock.moved(path);
      metrics.moved(path);
      await syncFolder(runsDirectory);
      await removeAbandonedClaims(runsDirectory);
      return new RunFolder(path, metrics, lock);
    } catch (cause) {
      metrics?.close();
      await lock?.release();
      await rm(staging, { recursive: true, force: true }).catch(() => undefined);
      if (["ENOTEMPTY", "EEXIST"].includes(errorCode(cause) ?? "")) throw taken(path);
      throw fileError(cause, "create the run folder", path);
    }
  }

  /**
   * Takes over the folder of a run that has not finished and that no process writes; its record gets a line more.
   * `rewind` must follow before any metrics are appended.
   * @param report is told of a record that is damaged: the run does not depend on it
   * @throws UsageError when the run has finished or is being written; DataError when a file is missing or damaged
   */
  static async resume<Column extends string>(
    path: string,
    {
      columns,
      environment,
      report,
    }: { columns: readonly Column[]; environment: RunEnvironment; report: MessageSink },
  ): Promise<RunFolder<Column>> {
    const lock = await RunLock.acquire(path);
    let metrics: MetricsLog<Column> | undefined;
    try {
      // It may have finished just before its lock was taken.
      if (existsSync(join(path, "summary.json")))
        throw new UsageError(`run folder ${path}: the run has finished`);
      metrics = MetricsLog.open(path, columns);
      await removeLeftovers(path);
      const file = join(path, "environment.json");
      const record = await readRecord(file, report);
      const resumed = Array.isArray(record.resumed) ? record.resumed : [];
      await writeFileAtomically(file, json({ ...record, resumed: [...resumed, environmentOf(environment)] }));
      return new RunFolder(path, metrics, lock);
    } catch (error) {
      metrics?.close();
      await lock.release();
      throw error;
    }
  }

  /** Path of a file in this folder. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes one line of metrics. @throws DataError when the disk refuses, or another process has taken over */
  append(row: MetricRow<Column>): void {
    this.#lock.requireNotLost();
    this.#metrics.append(row);
  }

  /** Where the next line of metrics will stand. */
  get metricsPosition(): MetricsPosition {
    return this.#metrics.position;
  }

  /** @throws DataError when the metrics do not reach a position: `rewind` cannot go there */
  requirePosition(position: MetricsPosition): void {
    this.#metrics.requirePosition(position);
  }

  /** Takes back all metrics after a position; null takes back all. @throws DataError when they do not reach it */
  async rewind(position: MetricsPosition | null): Promise<void> {
    await this.#metrics.rewind(position, this.requireHeld);
  }

  /**
   * To be awaited before a file of this folder is replaced: metrics are on the disk, and the folder is still ours.
   * @throws DataError when the disk refuses, or another process has taken over
   */
  async settle(): Promise<void> {
    // First: who has lost the folder need not know what the other one has made of the metrics.
    await this.requireHeld();
    await this.#metrics.sync();
  }

  /** The last look before a file takes its place. @throws DataError when another process has taken over */
  readonly requireHeld = (): Promise<void> => this.#lock.requireHeld();

  /** Writes a file whole or not at all, and only while the folder is this process's. @throws DataError as `settle` */
  async write(name: string, content: Iterable<Uint8Array> | string): Promise<void> {
    await this.settle();
    await writeFileAtomically(this.file(name), content, this.requireHeld);
  }

  /** Writes the outcome, which marks the run as finished, and closes the folder. @throws DataError when the disk refuses */
  async finish(summary: object): Promise<void> {
    await this.write("summary.json", json(summary));
    this.#metrics.close();
    await this.#lock.remove();
  }

  /** Closes a run that does not finish, for another process to go on with; a finished one is left as it is. */
  async close(): Promise<void> {
    this.#metrics.close();
    if (!existsSync(this.file("summary.json"))) await this.#lock.release();
  }
}

/** runs/<name>. @throws UsageError unless the name is one folder, not a path to somewhere else, and visible */
export function runFolderPath(runsDirectory: string, name: string): string {
  requireUsableName(name);
  return join(runsDirectory, name);
}

/**
 * The outcome of the run in a folder, or null if there is no such folder or the run has not finished.
 * @throws DataError when the summary is damaged
 */
export async function readSummary(path: string): Promise<unknown> {
  return withCurrentNames(await readJson(join(path, "summary.json"), "; delete the folder to run it again"));
}

/** An outcome by the names of today: the ghost size was called batchNormGroup before. */
export function withCurrentNames(summary: unknown): unknown {
  if (typeof summary !== "object" || summary === null || !("batchNormGroup" in summary)) return summary;
  const { batchNormGroup, ...others } = summary;
  return { ghostSize: batchNormGroup, ...others };
}

/** Whether a run may be called so: a name of one folder, not a path to somewhere else, and visible. */
export function isRunName(name: string): boolean {
  // 100 characters leave room for the suffixes of temporary files within the usual 255 bytes.
  return /^[\w+=@,-][\w.+=@,-]{0,99}$/.test(name);
}

function requireUsableName(name: string): void {
  if (!isRunName(name)) {
    throw new UsageError(
      `run name ${JSON.stringify(name)}: expected 1 to 100 letters, digits and any of . _ - + = @ , not starting with a dot`,
    );
  }
}

/** A file of JSON; null when there is none. @param advice ends the message about one that is damaged @throws DataError for that */
export async function readJson(path: string, advice = ""): Promise<unknown> {
  const text = readTextFileIfAny(path);
  if (text === null) return null;
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${path}: expected JSON: ${messageOf(cause)}${advice}`, { cause });
  }
}

/** What is known of a run's processes; empty where that cannot be read, which is told. */
async function readRecord(path: string, report: MessageSink): Promise<{ readonly resumed?: unknown }> {
  try {
    const record = await readJson(path);
    if (record === null || typeof record === "object") return record ?? {};
    throw new DataError(`${path}: expected named values, found ${JSON.stringify(record)}`);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    report(`warning: ${messageOf(error)}: starting a new file; the run does not depend on it`);
    return {};
  }
}

function environmentOf(environment: RunEnvironment): object {
  return { ...environment, process: thisProcess(), started: new Date().toISOString() };
}

function taken(path: string): UsageError {
  return new UsageError(`run folder ${path} already exists: choose another --name, or move it`);
}

function json(value: object): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
