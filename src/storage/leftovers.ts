// Cleans up after killed processes: temporary files, and run folders that never got their final name.

import { randomUUID } from "node:crypto";
import { readdir, rm, stat, unlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { temporaryFiles } from "./atomic-file.ts";
import { isLocked, SILENCE, timeOf } from "./run-lock.ts";

const STAGING = /^\.[\w.+=@,-]+\.[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\.tmp$/;

/** The temporary name under which a run's folder is filled. */
export function stagingName(run: string): string {
  return `.${run}.${randomUUID()}.tmp`;
}

/**
 * Removes temporary files, except candidates for locks, from a folder that no other process writes. Ignores failures to
 * remove.
 */
export async function removeLeftovers(folder: string): Promise<void> {
  for (const path of await temporaryFiles(folder)) {
    if (!basename(path).startsWith("lock-")) await unlink(path).catch(() => undefined);
  }
}

/** Removes temporary files not written to for long from a folder that many processes write. Ignores failures to remove. */
export async function removeAbandonedFiles(folder: string): Promise<void> {
  for (const path of await temporaryFiles(folder).catch(() => [])) {
    const written = await stat(path).catch(() => null);
    if (written?.isFile() && (await timeOf(folder)) - written.mtimeMs >= SILENCE)
      await unlink(path).catch(() => undefined);
  }
}

/** Removes folders that no process is filling any more. Ignores failures to remove. */
export async function removeAbandonedClaims(runsDirectory: string): Promise<void> {
  const names = (await readdir(runsDirectory).catch(() => [])).filter((name) => STAGING.test(name));
  for (const name of names) {
    const path = join(runsDirectory, name);
    if (await isAbandoned(path, runsDirectory).catch(() => false))
      await rm(path, { recursive: true, force: true }).catch(() => undefined);
  }
}

/** With a lock, its owner is dead; without one, it has not changed for long. */
async function isAbandoned(staging: string, runsDirectory: string): Promise<boolean> {
  const names = await readdir(staging);
  if (names.some((name) => /^lock-\d+\.json$/.test(name))) return !(await isLocked(staging));
  return (await timeOf(runsDirectory)) - (await stat(staging)).mtimeMs >= SILENCE;
}
