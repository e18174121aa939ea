// Commands that start a trainer in their place, killed with -9 at random moments of the trainer's life.
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { boundedInteger, pcg4d, STREAMS } from "../../src/support/random.ts";
import { limitMs } from "./limits.ts";
import { BIN, type Ended, type Program, start } from "./program.ts";

/** Milliseconds within which a trainer must end after its command. */
const GRACE_MS = limitMs(5000);

export interface KilledCommands {
  /** Arguments of node. */
  readonly words: readonly string[];
  /** A part of them that occurs in no other process's command line. */
  readonly mark: string;
  readonly count: number;
  readonly seed: number;
  /** A command is killed within this many milliseconds of its trainer's start. */
  readonly within: number;
  /** Whether every third command is paused first, as by Ctrl-Z: a paused trainer must end as well. */
  readonly pauses: boolean;
  readonly env?: NodeJS.ProcessEnv;
}

export interface OrphanReport {
  readonly killed: number;
  /** Trainers that still ran after the grace period. */
  readonly orphans: number;
  /** The longest that one outlived its command, ms. */
  readonly longest: number;
}

export async function killCommands(of: KilledCommands): Promise<OrphanReport> {
  const { words, mark, count, seed, within, pauses, env = {} } = of;
  let [killed, orphans, longest] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const command = start("node", words, { env });
    await trainerOf(command, mark);
    await sleep(boundedInteger(pcg4d(seed, STREAMS.noise, i, 0)[0], within));
    if (pauses && i % 3 === 2) {
      command.child.kill("SIGTSTP");
      await sleep(100);
    }
    command.child.kill("SIGKILL");
    if ((await exitOf(command)).signal === "SIGKILL") killed++;
    const since = performance.now();
    while (processesWith(mark).length > 0 && performance.now() - since < GRACE_MS) await sleep(10);
    longest = Math.max(longest, performance.now() - since);
    const left = processesWith(mark);
    orphans += left.length;
    for (const pid of left) process.kill(pid, "SIGKILL");
  }
  return { killed, orphans, longest };
}

/** The command line on the node of PATH, as users start it: without a GPU there, it starts a process that has one. */
export function startCommand(words: readonly string[]): Program {
  return start("node", [BIN, ...words], { env: { DEBUG: "", NO_COLOR: "1" } });
}

/** Waits for the process that a command starts in its place; null if the command ended with code 0 without one. */
export async function trainerOf({ child, ended }: Program, mark: string): Promise<number | null> {
  let end: Ended | null = null;
  void ended.then((found) => {
    end = found;
  });
  for (;;) {
    const other = processesWith(mark).find((pid) => pid !== child.pid);
    if (other !== undefined) return other;
    if (end !== null) return endedWell(end);
    await sleep(2);
  }
}

function endedWell({ code, stderr }: Ended): null {
  if (code === 0) return null;
  throw new Error(`the command started no process of its own: ${stderr}`);
}

/** Not `ended`, because an orphan may hold the output open. */
function exitOf({ child }: Program): Promise<{ signal: NodeJS.Signals | null }> {
  if (child.exitCode !== null || child.signalCode !== null)
    return Promise.resolve({ signal: child.signalCode });
  return new Promise((resolve) => child.once("exit", (_, signal) => resolve({ signal })));
}

/** Processes with a word in their command line, without dead ones that have not been reaped yet. */
export function processesWith(mark: string): number[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      // A dead process has no command line.
      return readFileSync(`/proc/${name}/cmdline`, "utf8").includes(mark) ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
}
