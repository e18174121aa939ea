// runs/<name>/: everything one run leaves behind.
//
//   config.yaml       what it was asked to do, every choice in it
//   environment.json  command, commit, versions, adapter, the process that runs it
//   metrics.jsonl     the numbers as they come, and the same as metrics.csv
//   checkpoints/      where to go on from (checkpoint-file.ts)
//   lock-N.json       the process that writes it (run-lock.ts), while there is one
//   summary.json      the outcome; it exists when, and only when, the run has finished

import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { DataError, UsageError } from "../support/errors.ts";
import { syncFolder, writeFileAtomically } from "./atomic-file.ts";
import { errorCode, fileError } from "./file-error.ts";
import type { GitState } from "./git.ts";
import { type MetricRow, MetricsLog, type MetricsPosition } from "./metrics-log.ts";
import { thisProcess } from "./process-identity.ts";
import { RunLock } from "./run-lock.ts";

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

    const staging = join(runsDirectory, `.${name}.${randomUUID()}.tmp`);
    // Without aliases: a list that occurs twice is written twice, as a reader expects.
    const configuration = stringify(options.configuration, { aliasDuplicateObjects: false });
    let metrics: MetricsLog<Column> | undefined;
    let lock: RunLock | undefined;
    try {
      await mkdir(staging, { recursive: true });
      await writeFile(join(staging, "config.yaml"), configuration, { flush: true });
      await writeFile(join(staging, "environment.json"), json(environmentOf(options.environment)), {
        flush: true,
      });
      metrics = MetricsLog.create(staging, options.columns);
      await metrics.sync();
      lock = await RunLock.acquire(staging);
      await syncFolder(staging);
      await rename(staging, path);
      lock.moved(path);
      await syncFolder(runsDirectory);
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
   * @throws UsageError when the run has finished or is being written; DataError when a file is missing or damaged
   */
  static async resume<Column extends string>(
    path: string,
    { columns, environment }: { columns: readonly Column[]; environment: RunEnvironment },
  ): Promise<RunFolder<Column>> {
    const lock = await RunLock.acquire(path);
    let metrics: MetricsLog<Column> | undefined;
    try {
      // It may have finished just before its lock was taken.
      if (existsSync(join(path, "summary.json")))
        throw new UsageError(`run folder ${path}: the run has finished`);
      metrics = MetricsLog.open(path, columns);
      const file = join(path, "environment.json");
      const record = ((await readJson(file)) ?? {}) as { resumed?: unknown };
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

  /** Writes one line of metrics. @throws DataError when the disk refuses */
  append(row: MetricRow<Column>): void {
    this.#metrics.append(row);
  }

  /** Where the next line of metrics will stand. */
  get metricsPosition(): MetricsPosition {
    return this.#metrics.position;
  }

  /** Takes back all metrics after a position; null takes back all. @throws DataError when they do not reach it */
  rewind(position: MetricsPosition | null): void {
    this.#metrics.rewind(position);
  }

  /**
   * To be awaited before a file of this folder is replaced: metrics are on the disk, and the folder is still ours.
   * @throws DataError when the disk refuses, or another process has taken over
   */
  async settle(): Promise<void> {
    await this.#metrics.sync();
    await this.#lock.requireHeld();
  }

  /** Writes the outcome, which marks the run as finished, and closes the folder. @throws DataError when the disk refuses */
  async finish(summary: object): Promise<void> {
    await this.settle();
    await writeFileAtomically(this.file("summary.json"), json(summary));
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
  return readJson(join(path, "summary.json"));
}

function requireUsableName(name: string): void {
  // 100 characters leave room for the suffixes of temporary files within the usual 255 bytes.
  if (!/^[\w+=@,-][\w.+=@,-]{0,99}$/.test(name)) {
    throw new UsageError(
      `run name ${JSON.stringify(name)}: expected 1 to 100 letters, digits and any of . _ - + = @ , not starting with a dot`,
    );
  }
}

/** A file of JSON; null when there is none. @throws DataError when it is damaged */
export async function readJson(path: string): Promise<unknown> {
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
