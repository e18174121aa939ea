/** Something done now and whenever a file has been saved. */
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** How often the file is looked at, ms: it may be written in place or replaced, on any file system. */
const LOOK_MS = 50;

export interface WhenSavedOptions {
  readonly lookMs?: number;
  /** Ends it, after what is under way. */
  readonly signal?: AbortSignal;
}

/**
 * Calls `work` now, and once more whenever the file has changed since the last call began: one call at a time. What is saved
 * during a call is seen by the next; a file that is being written is waited for.
 */
export async function whenSaved(
  file: string,
  work: () => Promise<void>,
  { lookMs = LOOK_MS, signal }: WhenSavedOptions = {},
): Promise<void> {
  while (!signal?.aborted) {
    const before = versionOf(file);
    await work();
    while (!signal?.aborted && versionOf(file) === before) await sleep(lookMs);
    for (let last = ""; !signal?.aborted && last !== versionOf(file); await sleep(lookMs))
      last = versionOf(file);
  }
}

/** Another text whenever the file is another, or is not there. */
function versionOf(file: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return "none";
  }
}
