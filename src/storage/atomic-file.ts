// Files that are either the old or the new one, whole, whenever the process or the machine stops.

import { randomUUID } from "node:crypto";
import { open, readdir, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileError } from "./file-error.ts";
import { syncFolder } from "./folder.ts";

/** Temporary files of this program; those of its first versions carried a process number in place of random digits. */
const TEMPORARY = /\.(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d+-\d+)\.tmp$/;

/** Content that is whole and on the disk under a temporary name, and not yet in its place. */
export interface StagedFile {
  /** Takes the place of the old file. @throws DataError when the disk refuses; the temporary file is still there */
  commit(): Promise<void>;
  /** Removes the temporary file, if it can be. */
  discard(): Promise<void>;
}

/**
 * Writes a file through a temporary one beside it: write, sync, rename, sync the folder. A reader sees the old file
 * or the new one, and after a power loss one of the two is there. On failure the old file is untouched and the
 * temporary one is removed.
 * @param chunks the content, in order; text is UTF-8
 * @param permitted is awaited before the new file takes its place, and throws where it may not
 * @throws DataError when the disk is full, read-only or otherwise refuses
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

/** The first half of `writeFileAtomically`. @throws DataError when the disk refuses; nothing is left behind then */
export async function stageFile(path: string, chunks: Iterable<Uint8Array> | string): Promise<StagedFile> {
  // Random: two writes of one path, of whatever processes, must not share a file, and process numbers come again.
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
 * The temporary files of a folder: leftovers, where no process is writing there.
 * @param of only those of this file
 * @throws DataError when the folder cannot be read
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
