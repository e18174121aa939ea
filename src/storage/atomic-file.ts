// Atomic writes: whenever the process or the machine stops, a file is either the complete old or the complete new one.

import { randomUUID } from "node:crypto";
import { open, readdir, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileError } from "./file-error.ts";
import { syncFolder } from "./folder.ts";

/** Names of this program's temporary files. Its first versions used a process number instead of random digits. */
const TEMPORARY = /\.(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+-\d+)\.tmp$/;

/** Content that is completely on disk under a temporary name, but not yet under its final one. */
export interface StagedFile {
  /** Replaces the old file. @throws DataError if that fails; the temporary file then still exists */
  commit(): Promise<void>;
  /** Removes the temporary file, if possible. */
  discard(): Promise<void>;
}

/**
 * Writes a file through a temporary one beside it: write, sync, rename, sync the folder. A reader sees the old file
 * or the new one, and so does everyone after a power failure. On failure the old file is untouched and the
 * temporary one is removed.
 * @param chunks the content, in order; text is UTF-8
 * @param permitted is awaited before the old file is replaced, and throws if it must not be
 * @throws DataError if the disk is full, read-only or fails otherwise
 */
export async function writeFileAtomically(
  path: string,
  chunks: Iterable<Uint8Array> | string,
  permitted: () => Promise<void> = async () => undefined,
): Promise<void> {
  const staged = await stageFile(path, chunks);
  try {
    await permitted();
    await staged.commit();
  } catch (error) {
    await staged.discard();
    throw error;
  }
}

/** The first half of `writeFileAtomically`. @throws DataError if writing fails; nothing is left behind */
export async function stageFile(path: string, chunks: Iterable<Uint8Array> | string): Promise<StagedFile> {
  // Random, because two writes of one path by any processes must not share a file, and process numbers are reused.
  const temporary = `${path}.${randomUUID()}.tmp`;
  const discard = () => unlink(temporary).catch(() => undefined);
  try {
    await writeWhole(temporary, typeof chunks === "string" ? [new TextEncoder().encode(chunks)] : chunks);
  } catch (cause) {
    await discard();
    throw fileError(cause, "write", path);
  }
  const commit = async () => {
    try {
      await rename(temporary, path);
      await syncFolder(dirname(path));
    } catch (cause) {
      throw fileError(cause, "write", path);
    }
  };
  return { commit, discard };
}

/**
 * The temporary files in a folder. If no process is writing there, they are leftovers.
 * @param of only those of this file
 * @throws DataError if the folder cannot be read
 */
export async function temporaryFiles(folder: string, of?: string): Promise<string[]> {
  const names = await readdir(folder).catch((cause) => {
    throw fileError(cause, "read", folder);
  });
  return names
    .filter((name) => TEMPORARY.test(name) && (of === undefined || name.replace(TEMPORARY, "") === of))
    .map((name) => join(folder, name));
}

async function writeWhole(path: string, chunks: Iterable<Uint8Array>): Promise<void> {
  const file = await open(path, "wx");
  try {
    for (const chunk of chunks) {
      let done = 0;
      while (done < chunk.length) {
        done += (await file.write(chunk, done, chunk.length - done)).bytesWritten;
      }
    }
    await file.sync();
  } finally {
    await file.close();
  }
}
