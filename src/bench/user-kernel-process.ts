/** Runs `benchUserKernel` in a process of its own, with a limit on every step: a kernel that never ends ends there. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import { DeviceError, GhostbatchError } from "../support/errors.ts";
import { afterMilliseconds } from "../support/long-timeout.ts";
import type { UserKernelOptions, UserKernelReport } from "./user-kernel.ts";

/** What the process says to the one that started it. */
export type Message =
  | { readonly kind: "phase"; readonly phase: string }
  | { readonly kind: "report"; readonly report: UserKernelReport }
  | { readonly kind: "error"; readonly message: string };

const PROGRAM = fileURLToPath(new URL("../../bin/ghostbatch.mjs", import.meta.url));
/** What opening an adapter may take. */
const START_SECONDS = 60;
/** Lines of a process that ended unexpectedly which are repeated. */
const LAST_LINES = 3;

/**
 * @param limitSeconds of one step, the compilation of the kernel among them
 * @param onPhase is told what is being done
 * @throws GhostbatchError as `benchUserKernel`
 */
export function userKernelInProcess(
  options: UserKernelOptions,
  {
    limitSeconds,
    adapter,
    onPhase,
  }: {
    limitSeconds: number;
    adapter?: string | undefined;
    onPhase: (phase: string) => void;
  },
): Promise<UserKernelReport> {
  const words = ["bench", "kernel", options.file, "--as", options.as, "--in-this-process"];
  words.push("--n", `${options.n}`, "--budget", `${options.budgetMs}`, "--shapes", `${options.paperCases}`);
  if (options.entry !== undefined) words.push("--entry", options.entry);
  if (adapter !== undefined) words.push("--adapter", adapter);
  return new Promise((resolve, reject) => {
    const child = fork(PROGRAM, words, { execArgv: [], stdio: ["ignore", "ignore", "pipe", "ipc"] });
    let phase = "starting";
    let errors = "";
    // Opening the adapter is not the kernel's doing.
    let cancel = afterMilliseconds(1000 * Math.max(START_SECONDS, limitSeconds), expire);
    child.stderr?.on("data", (text) => {
      errors = (errors + text).slice(-10_000);
    });
    child.on("message", (message: Message) => {
      cancel();
      if (message.kind === "phase") {
        phase = message.phase;
        onPhase(phase);
        cancel = afterMilliseconds(1000 * limitSeconds, expire);
      } else if (message.kind === "report") {
        resolve(message.report);
      } else {
        reject(new GhostbatchError(message.message));
      }
    });
    child.on("error", (cause) =>
      reject(new DeviceError(`${PROGRAM}: does not start: ${cause.message}`, { cause })),
    );
    child.on("exit", (code, signal) => {
      cancel();
      const last = errors.split("\n").filter((line) => line.trim() !== "");
      const end = signal === null ? `exit code ${code}` : signal;
      const said = last.slice(-LAST_LINES).join(" | ");
      resolve(failed("crashed", `the process ended with ${end} while ${phase}${said ? `: ${said}` : ""}`));
    });

    function expire(): void {
      child.kill("SIGKILL");
      resolve(
        failed("never ends", `no end after ${limitSeconds} s while ${phase} (--time-limit gives it longer)`),
      );
    }

    function failed(kind: string, message: string): UserKernelReport {
      const { file, as } = options;
      return {
        file,
        as,
        passed: false,
        problems: [{ kind, message }],
        casesChecked: 0,
        casesWrong: 0,
        rows: [],
        notes: [],
      };
    }
  });
}
