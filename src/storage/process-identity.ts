// Identifies the process that wrote a file, and whether it still runs. A process number is not enough, since it is reused.

import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

export interface ProcessIdentity {
  readonly host: string;
  readonly pid: number;
  /** Distinguishes processes that had the same number; "" if the system does not tell. */
  readonly birth: string;
  /**
   * Scope in which its number is unique: the boot, and the namespace of process numbers, one per container; null if
   * the system does not tell.
   */
  readonly space: string | null;
}

export function thisProcess(): ProcessIdentity {
  return { host: hostname(), pid: process.pid, birth: birthOf(process.pid), space: ownSpace() };
}

/** Whether that process is running; "unknown" for one of another machine, boot or container, which cannot be seen from here. */
export function isRunning({ host, pid, birth, space }: ProcessIdentity): boolean | "unknown" {
  const own = ownSpace();
  if (host !== hostname() || own === null || space !== own) return "unknown";
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: it exists, but belongs to another user.
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return birth === birthOf(pid);
}

/** Linux: the boot's id and the process's start time in ticks since then (proc(5), stat, field 22). */
function birthOf(pid: number): string {
  try {
    // Field 2, the name, may have spaces and parentheses; the fields after its last ")" do not.
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const afterName = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie: killed, and waiting for its parent.
    if (afterName[0] === "Z") return "ended";
    return `${bootId()}-${afterName[19]}`;
  } catch {
    return "";
  }
}

/** Linux: namespaces(7). A namespace's number is reused only after its last process has ended. */
function ownSpace(): string | null {
  // On other systems all processes of a machine share one numbering.
  if (process.platform !== "linux") return process.platform;
  try {
    return `${bootId()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return null;
  }
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
