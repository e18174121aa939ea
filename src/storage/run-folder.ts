// runs/<name>/: the files of a run.
//
//   config.yaml       its configuration, with every option
//   environment.json  command, commit, versions, adapter, and the process that runs it
//   metrics.jsonl     metrics as they arrive; the same as metrics.csv
//   checkpoints/      states from which to continue (checkpoint-file.ts)
//   lock-N.json       the process that is writing it (run-lock.ts), if any
//   summary.json      the outcome; exists if and only if the run has finished

import { existsSync } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { stringify } from "yaml";
import { parseJson } from "../support/damage.ts";
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

/** Where, and with which versions, a run was made. */
export interface RunEnvironment {
  /** The command line, quoted so that it can be typed again. */
  readonly command: string;
  /** The commit of this program; null if unknown. */
  readonly git: GitState | null;
  /** Name to version: this program, Node, the GPU library. */
  readonly versions: Readonly<Record<string, string>>;
  /** The caller's description of the adapter; null for a run without one. */
  readonly adapter: unknown;
  /** The folder in which it was started, absolute: the base of relative paths of its data. */
  readonly workingDirectory?: string;
  /** The folder of the data set's files, absolute, if one was named. */
  readonly dataDirectory?: string;
}

export interface RunFolderOptions<Column extends string> {
  /** The folder of all runs; created if missing. */
  readonly runsDirectory: string;
  readonly name: string;
  /** The effective configuration, plain JSON. */
  readonly configuration: object;
  readonly environment: RunEnvironment;
  /** All columns that the metrics of the run can have. */
  readonly columns: readonly Column[];
}

/** A run folder that only this process writes. */
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
   * Claims runs/<name>/. The folder is filled under another name and renamed, so it appears complete, only one of two
   * processes gets it, and a failure leaves nothing behind.
   * @throws UsageError if the name is invalid or taken; DataError if writing fails
   */
  static async claim<Column extends string>(options: RunFolderOptions<Column>): Promise<RunFolder<Column>> {
    const { runsDirectory, name } = options;
    const path = runFolderPath(runsDirectory, name);
    if (existsSync(path)) throw taken(path);

    const staging = join(runsDirectory, stagingName(name));
    // No aliases: a list that occurs twice is written twice, as readers expect.
    const configuration = stringify(options.configuration, { aliasDuplicateObjects: false });
    let metrics: MetricsLog<Column> | undefined;
    let lock: RunLock | undefined;
    try {
      await makeFolder(runsDirectory);
      await mkdir(staging);
      // First, so that the leftovers of a killed process show whose they were.
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
   * Takes over the folder of an unfinished run that no process is writing, and adds this process to its record.
   * Call `rewind` before appending any metrics.
   * @param report is called if the record is damaged, on which the run does not depend
   * @throws UsageError if the run has finished or is being written; DataError if a file is missing or damaged
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
      // It may have finished just before the lock was taken.
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

  /** The path of a file in this folder. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** Writes one line of metrics. @throws DataError if writing fails, or another process has taken over */
  append(row: MetricRow<Column>): void {
    this.#lock.requireNotLost();
    this.#metrics.append(row);
  }

  /** Position of the next line of metrics. */
  get metricsPosition(): MetricsPosition {
    return this.#metrics.position;
  }

  /** @throws DataError if the metrics do not reach a position, so `rewind` cannot go there */
  requirePosition(position: MetricsPosition): void {
    this.#metrics.requirePosition(position);
  }

  /** Removes all metrics after a position; null removes all. @throws DataError if they do not reach it */
  async rewind(position: MetricsPosition | null): Promise<void> {
    await this.#metrics.rewind(position, this.requireHeld);
  }

  /**
   * Await this before replacing a file of this folder: it makes sure that metrics are on disk and the folder is still ours.
   * @throws DataError if writing fails, or another process has taken over
   */
  async settle(): Promise<void> {
    // First: if the folder has been lost, the state of the metrics does not matter.
    await this.requireHeld();
    await this.#metrics.sync();
  }

  /** The final check before a file is replaced. @throws DataError if another process has taken over */
  readonly requireHeld = (): Promise<void> => this.#lock.requireHeld();

  /** Writes a file atomically, and only while this process owns the folder. @throws DataError as `settle` */
  async write(name: string, content: Iterable<Uint8Array> | string): Promise<void> {
    await this.settle();
    await writeFileAtomically(this.file(name), content, this.requireHeld);
  }

  /** Writes the outcome, which marks the run as finished, and closes the folder. @throws DataError if writing fails */
  async finish(summary: object): Promise<void> {
    await this.write("summary.json", json(summary));
    this.#metrics.close();
    await this.#lock.remove();
  }

  /** Closes an unfinished run, so that another process can continue it. Does nothing to a finished one. */
  async close(): Promise<void> {
    this.#metrics.close();
    if (!existsSync(this.file("summary.json"))) await this.#lock.release();
  }
}

/** runs/<name>. @throws UsageError unless the name is that of a single, visible folder, not a path */
export function runFolderPath(runsDirectory: string, name: string): string {
  requireUsableName(name);
  return join(runsDirectory, name);
}

/**
 * The outcome of the run in a folder, or null if the folder does not exist or the run has not finished.
 * @throws DataError if the summary is damaged
 */
export async function readSummary(path: string): Promise<unknown> {
  const file = join(path, "summary.json");
  const advice = "; delete the folder to run it again";
  const text = readTextFileIfAny(file);
  if (text === null) return null;
  const summary = parseJson(text, file, advice);
  if (summary === null) throw new DataError(`${file}: damaged: expected named values, found null${advice}`);
  return withCurrentNames(summary);
}

/** An outcome with current names; the ghost size used to be called batchNormGroup. */
export function withCurrentNames(summary: unknown): unknown {
  if (typeof summary !== "object" || summary === null || !("batchNormGroup" in summary)) return summary;
  const { batchNormGroup, ...others } = summary;
  return { ghostSize: batchNormGroup, ...others };
}

/** Whether a run may have this name: that of a single, visible folder, not a path. */
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

/** Reads a JSON file; null if there is none. @param advice end of the message about a damaged one @throws DataError for that */
export async function readJson(path: string, advice = ""): Promise<unknown> {
  const text = readTextFileIfAny(path);
  if (text === null) return null;
  return parseJson(text, path, advice);
}

/** The record of a run's processes; empty if it cannot be read, which is reported. */
async function readRecord(path: string, report: MessageSink): Promise<{ readonly resumed?: unknown }> {
  try {
    const record = await readJson(path);
    if (record === null || typeof record === "object") return record ?? {};
    throw new DataError(`${path}: expected named values, found ${JSON.stringify(record)}`);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    report(`warning: ${messageOf(error)}; starting a new file, since the run does not depend on it`);
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
