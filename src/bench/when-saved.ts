/** Repeats work whenever a file is saved. */
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

/** Polling interval, ms; polling works for files written in place or replaced, on any file system. */
const LOOK_MS = 50;

export interface WhenSavedOptions {
  readonly lookMs?: number;
  /** Ends it after the current call. */
  readonly signal?: AbortSignal;
}

/**
 * Calls `work` now, and again whenever the file has changed since the last call began, one call at a time. A save
 * during a call causes another; waits for a file that is being written.
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

/** A text that changes whenever the file changes or disappears. */
function versionOf(file: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  } catch {
    return "none";
  }
}
