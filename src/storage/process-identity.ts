// Which process wrote a file, and whether it still runs: a number alone is given to other processes later.

import { readFileSync } from "node:fs";
import { hostname } from "node:os";

export interface ProcessIdentity {
  readonly host: string;
  readonly pid: number;
  /** Differs between two processes that had the same number; "" where the system does not tell. */
  readonly birth: string;
}

export function thisProcess(): ProcessIdentity {
  return { host: hostname(), pid: process.pid, birth: birthOf(process.pid) };
}

/** Whether that process runs now; "unknown" for one of another machine. */
export function isRunning({ host, pid, birth }: ProcessIdentity): boolean | "unknown" {
  if (host !== hostname()) return "unknown";
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it is there, but someone else's.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return birth === birthOf(pid);
}

/** Linux: the boot's id and the process's start time in ticks since then (proc(5), stat, field 22). */
function birthOf(pid: number): string {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    // Field 2, the name, may have spaces and parentheses; the fields after its last ")" do not.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // Killed, and only waiting for its parent to take note.
    if (afterName[0] === "Z") return "ended";
    return `${boot}-${afterName[19]}`;
  } catch {
    return "";
  }
}
