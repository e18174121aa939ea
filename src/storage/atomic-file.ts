// Files that are either the old or the new one, whole, whenever the process or the machine stops.

import { type FileHandle, open, rename, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode, fileError } from "./file-error.ts";

// Two writes of one process to the same path must not share a temporary file.
let written = 0;

/**
 * Writes a file through a temporary one beside it: write, sync, rename, sync the folder. A reader sees the old file
 * or the new one, and after a power loss one of the two is there. On failure the old file is untouched and the
 * temporary one is removed.
 * @param chunks the content, in order; text is UTF-8
 * @throws DataError when the disk is full, read-only or otherwise refuses
 */
export async function writeFileAtomically(
  path: string,
  chunks: Iterable<Uint8Array> | string,
): Promise<void> {
  const temporary = `${path}.${process.pid}-${written++}.tmp`;
  const parts = typeof chunks === "string" ? [new TextEncoder().encode(chunks)] : chunks;
  try {
    await writeWhole(temporary, parts);
    await rename(temporary, path);
    await syncFolder(dirname(path));
  } catch (cause) {
    await unlink(temporary).catch(() => undefined);
    throw fileError(cause, "write", path);
  }
}

/** Makes the names of a folder's files durable: a renamed file is not until its folder is synced. */
export async function syncFolder(path: string): Promise<void> {
  let folder: FileHandle;
  try {
    folder = await open(path, "r");
  } catch (cause) {
    // Windows does not open folders; its renames are journaled.
    if (["EISDIR", "EPERM", "EACCES"].includes(errorCode(cause) ?? "")) return;
    throw cause;
  }
  try {
    await folder.sync();
  } catch (cause) {
    // Some network and FUSE file systems have no sync of folders; the rename itself has succeeded.
    if (!["EINVAL", "ENOTSUP", "EPERM", "EBADF"].includes(errorCode(cause) ?? "")) throw cause;
  } finally {
    await folder.close();
  }
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
