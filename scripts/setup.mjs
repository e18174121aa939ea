// Makes a checkout ready to run: installs the packages and, if the machine has no GPU, a software GPU. Safe to call at
// any time, by several processes at once, and again after an interruption. With nothing to do it returns within half a
// second. Needs only node.
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { probeAdapter } from "./adapter.mjs";
import { SetupError } from "./command.mjs";
import { withLock } from "./lock.mjs";
import { installPackages, packagesAreCurrent } from "./packages.mjs";
import { installSoftwareGpu, softwareNode } from "./software-gpu.mjs";

const ROOT = resolve(fileURLToPath(new URL("..", import.meta.url)));
// The lowest version that all packages of the lock file support.
const OLDEST_NODE = [20, 19];
const SLOW = "results are correct, but it runs on the CPU and is slow";
const NVIDIA_WITHOUT_VULKAN =
  "found an NVIDIA GPU that Vulkan cannot reach: it needs libvulkan1 and the Vulkan part of its driver" +
  " (in a container NVIDIA_DRIVER_CAPABILITIES with graphics)";

const interruption = new AbortController();
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.once(signal, () => {
    process.exitCode = 128 + constants.signals[signal];
    interruption.abort();
  });
}

try {
  await setUp();
} catch (error) {
  if (interruption.signal.aborted) {
    say("interrupted; partial files are removed");
  } else if (error instanceof SetupError) {
    console.error([`setup: ${error.message}`, ...error.advice.map((line) => `  ${line}`)].join("\n"));
    process.exitCode = 1;
  } else {
    throw error;
  }
}

async function setUp() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])) {
    throw new SetupError(`found Node ${process.version}, but ${OLDEST_NODE.join(".")} or newer is needed`);
  }
  await onceFor(
    () => packagesAreCurrent(ROOT),
    async (hold) => {
      say("installing the packages of package-lock.json (npm ci)");
      await installPackages(ROOT, { signal: interruption.signal, onStart: hold });
    },
  );

  const { adapter } = await probeAdapter();
  if (adapter) return say(`ready, on ${adapter.name}${adapter.software ? `: a software GPU; ${SLOW}` : ""}`);
  if (existsSync("/dev/nvidiactl")) say(NVIDIA_WITHOUT_VULKAN);
  await onceFor(
    () => softwareNode(ROOT) !== null,
    () => installSoftwareGpu(ROOT, { signal: interruption.signal, say }),
  );
  say(`ready, on a software GPU: ${SLOW}`);
}

/**
 * Does `work` unless `isDone`, while preventing other processes from doing it at the same time.
 * @param {() => boolean} isDone
 * @param {(hold: (pid: number) => void) => Promise<void>} work
 */
async function onceFor(isDone, work) {
  if (isDone()) return;
  const onWait = (/** @type {string} */ holder) =>
    say(`waiting for another setup to finish (process ${holder})`);
  await withLock(
    join(ROOT, ".cache", "setup.lock"),
    { signal: interruption.signal, onWait },
    async (hold) => {
      if (!isDone()) await work(hold);
    },
  );
}

/** @param {string} line */
function say(line) {
  console.log(`setup: ${line}`);
}
