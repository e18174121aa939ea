/** Runs `benchUserKernel` in a child process with a time limit on every step, which stops a kernel that never ends. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DataError, DeviceError, GhostbatchError } from "../support/errors.ts";
import { afterMilliseconds } from "../support/long-timeout.ts";
import type { UserKernelOptions, UserKernelReport } from "./user-kernel.ts";

/** Messages from the child to its parent. */
export type Message =
  | { readonly kind: "phase"; readonly phase: string }
  | { readonly kind: "report"; readonly report: UserKernelReport }
  | { readonly kind: "error"; readonly message: string; readonly exitCode: number };

export interface ProcessOptions {
  /** Time limit of one step, e.g. compilation of the kernel. */
  readonly limitSeconds: number;
  readonly adapter?: string | undefined;
  /** Receives progress messages. */
  readonly onPhase: (phase: string) => void;
}

const PROGRAM = fileURLToPath(new URL("../../bin/ghostbatch.mjs", import.meta.url));
/** Time limit for opening an adapter. */
const START_SECONDS = 60;
/** The last lines of an unexpectedly ended process to repeat. */
const LAST_LINES = 3;

/** One check in a child process, which then ends. @throws GhostbatchError as `benchUserKernel` */
export async function userKernelInProcess(
  options: UserKernelOptions,
  process: ProcessOptions,
): Promise<UserKernelReport> {
  const bench = new UserKernelProcess(options, process);
  try {
    return await bench.check();
  } finally {
    bench.close();
  }
}

/** A child process that checks the same file on request; the adapter stays open in between. */
export class UserKernelProcess {
  readonly #options: UserKernelOptions;
  readonly #process: ProcessOptions;
  #child: ChildProcess | null = null;

  constructor(options: UserKernelOptions, process: ProcessOptions) {
    this.#options = options;
    this.#process = process;
  }

  /** Checks the present contents of the file. One check at a time. @throws GhostbatchError as `benchUserKernel` */
  check(): Promise<UserKernelReport> {
    return new Promise((resolve, reject) => {
      const { limitSeconds, onPhase } = this.#process;
      const running = this.#child;
      const child = running ?? this.#start();
      let phase = running ? "reading" : "starting";
      let errors = "";
      // A failure to open the adapter is not the kernel's fault.
      let cancel = afterMilliseconds(1000 * Math.max(START_SECONDS, limitSeconds), expire);
      const onError = (text: Buffer) => {
        errors = (errors + text).slice(-10_000);
      };
      const settle = (end: () => void) => {
        cancel();
        child.removeAllListeners();
        child.stderr?.off("data", onError).resume();
        // A process that ends between checks is replaced at the next.
        for (const event of ["exit", "error"]) child.on(event, () => this.#forget(child));
        end();
      };
      const fail = (kind: string, message: string) => {
        this.close();
        settle(() => resolve(failed(this.#options, kind, message)));
      };
      const notStarted = () => {
        this.close();
        const seconds = Math.max(START_SECONDS, limitSeconds);
        settle(() => reject(new DeviceError(`the adapter was not open after ${seconds} s`)));
      };
      child.stderr?.on("data", onError);
      let heard = false;
      child.on("message", (message: Message) => {
        heard = true;
        cancel();
        if (message.kind === "phase") {
          phase = message.phase;
          onPhase(phase);
          cancel = afterMilliseconds(1000 * limitSeconds, expire);
        } else if (message.kind === "report") {
          // The device may be damaged for good.
          if (message.report.problems.some(({ kind }) => kind === "device error")) this.close();
          settle(() => resolve(message.report));
        } else {
          const { exitCode, message: text } = message;
          settle(() => reject(exitCode === 2 ? new DataError(text) : new GhostbatchError(text)));
        }
      });
      child.on("error", (cause) => {
        this.close();
        const error = new DeviceError(`${PROGRAM}: does not start: ${cause.message}`, { cause });
        settle(() => reject(error));
      });
      child.on("exit", (code, signal) => {
        this.#forget(child);
        if (running && !heard) return settle(() => resolve(this.check())); // it had already ended
        fail(
          "crashed",
          `the process ended with ${signal ?? `exit code ${code}`} while ${phase}${lastWords(errors)}`,
        );
      });
      if (running) running.send("again");

      function expire(): void {
        if (phase === "starting") notStarted();
        else
          fail("never ends", `no end after ${limitSeconds} s while ${phase} (--time-limit gives it longer)`);
      }
    });
  }

  /** Ends the process; the next check starts another. */
  close(): void {
    this.#child?.kill("SIGKILL");
    this.#child = null;
  }

  #forget(child: ChildProcess): void {
    if (this.#child === child) this.#child = null;
  }

  #start(): ChildProcess {
    const { file, as, entry, n, budgetMs, paperCases } = this.#options;
    const words = ["bench", "kernel", file, "--as", as, "--in-this-process"];
    words.push("--n", `${n}`, "--budget", `${budgetMs}`, "--shapes", `${paperCases}`);
    if (entry !== undefined) words.push("--entry", entry);
    if (this.#process.adapter !== undefined) words.push("--adapter", this.#process.adapter);
    this.#child = fork(PROGRAM, words, { execArgv: [], stdio: ["ignore", "ignore", "pipe", "ipc"] });
    return this.#child;
  }
}

function lastWords(errors: string): string {
  const lines = errors.split("\n").filter((line) => line.trim() !== "");
  return lines.length === 0 ? "" : `: ${lines.slice(-LAST_LINES).join(" | ")}`;
}

function failed({ file, as }: UserKernelOptions, kind: string, message: string): UserKernelReport {
  const problems = [{ kind, message }];
  return { file, as, passed: false, problems, casesChecked: 0, casesWrong: 0, rows: [], notes: [] };
}
