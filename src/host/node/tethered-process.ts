/**
 * Processes that end with the one that started them, however that ends, SIGKILL included, and whatever they are doing
 * then. Linux kills them by itself (PR_SET_PDEATHSIG, which the program setpriv of util-linux sets). Elsewhere, and for a
 * parent that died before the kernel was told, a channel between the two closes: bin/end-with-parent.mjs watches it from
 * the first line of the new process on.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { env } from "../../support/env.ts";

/** Replaces itself by its arguments, tied to its parent where this system's setpriv can do that. */
const TIE = 'setpriv --pdeathsig KILL true 2>/dev/null && exec setpriv --pdeathsig KILL "$@"; exec "$@"';

/**
 * MPICH's mpiexec speaks with each rank through a file that is open in it (PMI_FD): a process that stands in for a rank needs it.
 * @param first descriptor that is not taken
 */
function launcherChannel(first: number): ("ignore" | number)[] {
  const channel = Number(env.launcher.pmi.channel());
  if (!Number.isInteger(channel) || channel < first) return [];
  return [...new Array<"ignore">(channel - first).fill("ignore"), channel];
}

/**
 * Starts a program, bin/ghostbatch.mjs or one that imports bin/end-with-parent.mjs first, in a session of its own: a
 * terminal's Ctrl-C reaches this process alone, which passes it on once.
 * @param words the program and its arguments
 * @param stdio of standard input, output and error
 */
export function spawnTethered(
  words: readonly [string, ...string[]],
  stdio: readonly ["inherit" | "ignore", "inherit" | number, "inherit" | number],
): ChildProcess {
  const options: SpawnOptions = {
    stdio: [...stdio, "ipc", ...launcherChannel(stdio.length + 1)],
    detached: true,
    env: { ...process.env, GHOSTBATCH_TETHERED: "1" },
  };
  const [program, ...args] = words;
  return process.platform === "linux"
    ? spawn("/bin/sh", ["-c", TIE, "sh", program, ...args], options)
    : spawn(program, args, options);
}
