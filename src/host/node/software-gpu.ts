// The software GPU that set-up installs into .software-gpu/ of a checkout: only a node of its own can load it, so a
// process that needs it starts its command line anew on that node and stands in for it until it ends.
import { existsSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { DeviceError } from "../../support/errors.ts";
import { spawnTethered } from "./tethered-process.ts";

const FOLDER = realPath(fileURLToPath(new URL("../../../.software-gpu", import.meta.url)));
const CHECKOUT = dirname(FOLDER);

/** Signals that end or steer a run, passed on to the process that runs. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const;

/** The node that runs on the software GPU, or null where that is not installed, or was moved since. */
export function softwareNodePath(): string | null {
  // Programs name their loader by an absolute path: a moved folder does not run until set-up has fitted it.
  return installedAt() === FOLDER ? join(FOLDER, "bin", "node") : null;
}

/**
 * Where the software GPU could come from, for whoever has no adapter: a checkout installs it, and fits it again where it was moved
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

/** The folder that it was made for; null where there is none. */
function installedAt(): string | null {
  try {
    const { folder } = JSON.parse(readFileSync(join(FOLDER, "complete.json"), "utf8")) as {
      folder?: unknown;
    };
    return typeof folder === "string" ? folder : null;
  } catch {
    return null; // not installed, or not to its end
  }
}

/** A link to the folder stands for it: the programs in it know where it really is. */
function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : path;
}

/** Whether this process runs on it already. */
export function runningOnSoftwareNode(): boolean {
  return process.execPath === join(FOLDER, "bin", "node.real");
}

/**
 * Runs this process's command line again on the software GPU, with the same terminal and files, and ends as that ends:
 * with its exit code, or by its signal. Call it before anything is written or printed.
 *
 * @throws DeviceError where the software GPU is not installed
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
      // With --on-usr2 continue it must not end a process that cannot know yet what it was asked.
      if (signal === "SIGUSR2" && !isListening) awaitsCheckpoint = true;
      else child.kill(signal);
    };
    for (const signal of FORWARDED) {
      // What this process would have done at a signal is now the other's to do.
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
