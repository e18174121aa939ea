/** Runs a grid as processes on this machine, several at a time. A failure does not stop the others. */
import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, writeSync } from "node:fs";
import { spawnTethered } from "../host/node/tethered-process.ts";
import { formatDuration } from "../support/format.ts";
import { afterMilliseconds } from "../support/long-timeout.ts";
import type { GridRun } from "./grid.ts";
import type { RunStatus, SweepFolder } from "./sweep-folder.ts";

export interface SweepOptions {
  /** Number of processes at a time. */
  readonly jobs: number;
  /** Time limit of one process in seconds; null for none. */
  readonly timeLimit: number | null;
  /** The command line of a run, without the program. */
  readonly commandOf: (run: GridRun) => readonly string[];
  readonly program: string;
  readonly onStatus: (status: RunStatus) => void;
}

/** Seconds between the request to stop and the forced end: enough for a checkpoint. */
const GRACE = 60;

export class Sweep {
  readonly #folder: SweepFolder;
  readonly #options: SweepOptions;
  readonly #children = new Set<ChildProcess>();
  #stopped: NodeJS.Signals | null = null;

  constructor(folder: SweepFolder, options: SweepOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  /** Forwards a signal to every run, which takes a checkpoint and ends. Starts no more runs. */
  stop(signal: NodeJS.Signals): void {
    this.#stopped ??= signal;
    for (const child of this.#children) child.kill(signal);
  }

  /** The first signal that requested a stop, if any. */
  get stopped(): NodeJS.Signals | null {
    return this.#stopped;
  }

  /** Runs everything that is not finished or claimed by another process. @returns the status of all */
  async run(runs: readonly GridRun[]): Promise<RunStatus[]> {
    const waiting: GridRun[] = [];
    for (const run of runs) {
      const status = await this.#folder.statusOf(run);
      if (status.state === "done") this.#options.onStatus(status);
      else waiting.push(run);
    }
    const worker = async () => {
      for (let run = waiting.shift(); run && this.#stopped === null; run = waiting.shift())
        await this.#runOne(run);
    };
    await Promise.all(Array.from({ length: this.#options.jobs }, worker));
    return this.#folder.statuses(runs);
  }

  async #runOne(run: GridRun): Promise<void> {
    const claim = await this.#folder.claim(run);
    if (claim !== null) {
      try {
        if (this.#stopped === null) await this.#runClaimed(run);
      } finally {
        await claim.release();
      }
    }
    this.#options.onStatus(await this.#folder.statusOf(run));
  }

  async #runClaimed(run: GridRun): Promise<void> {
    const { program, commandOf, timeLimit, onStatus } = this.#options;
    onStatus({ name: run.name, state: "running", why: "", summary: null, step: 0 });
    const log = openSync(this.#folder.logOf(run), "a");
    try {
      const child = spawnTethered([program, ...commandOf(run)], ["ignore", log, log]);
      this.#children.add(child);
      const ended = new Promise<string>((resolve) => {
        child.on("error", ({ message }) => resolve(`error: cannot start ${program}: ${message}`));
        child.on("exit", (_, signal) => resolve(signal === null ? "" : this.#endedBy(signal)));
      });
      const overtime = timeLimit === null ? null : this.#endAfter(child, timeLimit, ended);
      const last = await ended;
      this.#children.delete(child);
      if (last !== "") writeSync(log, `${last}\n`);
      if (await overtime)
        writeSync(
          log,
          `error: time limit of ${formatDuration(timeLimit!)} reached; it continues when the sweep is started again\n`,
        );
    } finally {
      closeSync(log);
    }
  }

  /** A log line for a process that a signal ended before its first step, without a message of its own. */
  #endedBy(signal: NodeJS.Signals): string {
    return signal === this.#stopped
      ? `stopped by ${signal} before its first step`
      : `error: ended by ${signal}`;
  }

  /** Ends a process that takes too long; whether it did. */
  async #endAfter(child: ChildProcess, seconds: number, ended: Promise<unknown>): Promise<boolean> {
    if (await endsWithin(ended, seconds)) return false;
    child.kill("SIGTERM");
    if (!(await endsWithin(ended, GRACE))) child.kill("SIGKILL");
    return true;
  }
}

function endsWithin(ended: Promise<unknown>, seconds: number): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = afterMilliseconds(1000 * seconds, () => resolve(false));
    void ended.then(() => {
      cancel();
      resolve(true);
    });
  });
}
