// The software GPU that set-up installs into .software-gpu/ of a checkout. Only its own node can load it, so a
// process that needs it restarts its command line on that node and waits for it to end.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DeviceError } from "../../support/errors.ts";
import { spawnTethered } from "./tethered-process.ts";

const FOLDER = realPath(fileURLToPath(new URL("../../../.software-gpu", import.meta.url)));
const CHECKOUT = dirname(FOLDER);

/** Signals that end or control a run, forwarded to the process that runs it. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const;

/** The node that runs on the software GPU, or null if it is not installed or has been moved. */
export function softwareNodePath(): string | null {
  // Programs contain the absolute path of their loader, so a moved folder does not work until set-up has adapted it.
  return installedAt() === FOLDER ? join(FOLDER, "bin", "node") : null;
}

/**
 * Advice for users without an adapter: a checkout can install the software GPU, or adapt it if it was moved
 * or copied; the published package has none.
 */
export function softwareGpuAdvice(): string {
  if (!existsSync(join(CHECKOUT, "scripts", "setup.mjs")))
    return "a checkout of ghostbatch can install a software GPU; the package cannot";
  const before = installedAt();
  return before === null || before === FOLDER
    ? `\`npm run setup\` in ${CHECKOUT} installs a software GPU`
    : `this checkout was moved or copied: its software GPU was installed in ${before}; run \`npm run setup\` in ${CHECKOUT} to adapt it`;
}

/** The folder for which it was installed; null if there is none. */
function installedAt(): string | null {
  try {
    const { folder } = JSON.parse(readFileSync(join(FOLDER, "complete.json"), "utf8")) as {
      folder?: unknown;
    };
    return typeof folder === "string" ? folder : null;
  } catch {
    return null; // not installed, or not completely
  }
}

/** Resolves a link to the folder, because the programs in it contain its real path. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

/** Whether this process already runs on it. */
export function runningOnSoftwareNode(): boolean {
  return process.execPath === join(FOLDER, "bin", "node.real");
}

/**
 * Runs this process's command line again on the software GPU, with the same terminal and files, and ends in the same way:
 * with its exit code, or by its signal. Call this before anything is written or printed.
 *
 * @throws DeviceError if the software GPU is not installed
 */
export function relaunchOnSoftwareGpu(): Promise<never> {
  const node = softwareNodePath();
  if (node === null) throw new DeviceError(`no software GPU: ${softwareGpuAdvice()}`);
  return new Promise((_, reject) => {
    const words = [node, ...process.execArgv, ...process.argv.slice(1)] as const;
    const child = spawnTethered([...words], ["inherit", "inherit", "inherit"]);
    let isListening = false;
    let awaitsCheckpoint = false;
    child.on("message", () => {
      isListening = true;
      if (awaitsCheckpoint) child.kill("SIGUSR2");
    });
    const forward = (signal: NodeJS.Signals) => {
      // With --on-usr2 continue, SIGUSR2 must not end a process that has not yet read its options.
      if (signal === "SIGUSR2" && !isListening) awaitsCheckpoint = true;
      else child.kill(signal);
    };
    for (const signal of FORWARDED) {
      // The other process now handles signals.
      process.removeAllListeners(signal);
      process.on(signal, forward);
    }
    const pause = () => {
      child.kill("SIGSTOP");
      process.kill(process.pid, "SIGSTOP");
    };
    process.on("SIGTSTP", pause);
    process.on("SIGCONT", forward);

    child.on("error", (cause) =>
      reject(new DeviceError(`${node} cannot be started: ${cause.message}`, { cause })),
    );
    child.on("exit", (code, signal) => {
      if (signal === null) process.exit(code ?? 1);
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    });
  });
}
