/** Something done now and whenever a file has been saved. */
import { unwatchFile, watchFile } from "node:fs";

/** How often the file is looked at, ms: it may be written in place or replaced, on any file system. */
const LOOK_MS = 100;

export interface WhenSavedOptions {
  readonly lookMs?: number;
  /** Ends it, behind what is under way. */
  readonly signal?: AbortSignal;
}

/**
 * Calls `work` now, and once more whenever the file has changed since the last call began: one call at a time, and what is
 * saved during a call is seen by the next.
 */
export async function whenSaved(
  file: string,
  work: () => Promise<void>,
  { lookMs = LOOK_MS, signal }: WhenSavedOptions = {},
): Promise<void> {
  let changed: () => void = () => undefined;
  const notice = () => changed();
  watchFile(file, { interval: lookMs }, notice);
  signal?.addEventListener("abort", notice);
  try {
    while (!signal?.aborted) {
      const change = new Promise<void>((done) => {
        changed = done;
      });
      await work();
      if (!signal?.aborted) await change;
    }
  } finally {
    unwatchFile(file, notice);
    signal?.removeEventListener("abort", notice);
  }
}
