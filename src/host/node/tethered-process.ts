/**
 * Child processes that end with their parent, however it ends, even by SIGKILL, and whatever they are doing.
 * Linux kills them (PR_SET_PDEATHSIG, set by the program setpriv of util-linux). Elsewhere, and for a
 * parent that died before the kernel was told, a channel between the two closes: bin/end-with-parent.mjs watches it from
 * the first line of the new process on.
 */
import { type ChildProcess, type SpawnOptions, spawn } from "node:child_process";
import { env } from "../../support/env.ts";

/** A command that replaces itself by its arguments, tied to its parent if this system's setpriv can do that. */
const TIE = 'setpriv --pdeathsig KILL true 2>/dev/null && exec setpriv --pdeathsig KILL "$@"; exec "$@"';

/**
 * MPICH's mpiexec talks to each rank through an open file descriptor (PMI_FD), which a child that replaces the rank needs.
 * @param first the first free descriptor
 */
function launcherChannel(first: number): ("ignore" | number)[] {
  const channel = Number(env.launcher.pmi.channel());
  if (!Number.isInteger(channel) || channel < first) return [];
  return [...new Array<"ignore">(channel - first).fill("ignore"), channel];
}

/**
 * Starts a program, bin/ghostbatch.mjs or one that imports bin/end-with-parent.mjs first, in a session of its own, so that a
 * terminal's Ctrl-C reaches only this process, which forwards it once.
 * @param words the program and its arguments
 * @param stdio for standard input, output and error
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
