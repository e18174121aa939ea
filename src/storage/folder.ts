// Folders that are there, under their names, after a power loss too.

import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { errorCode } from "./file-error.ts";

/**
 * Makes a folder and those above it, durably; one that is there stays as it is. Step by step: the recursive call of the
 * system's library says ENOENT for whatever a file system refuses.
 * @throws the system's error
 */
export async function makeFolder(path: string): Promise<void> {
  const parent = dirname(path);
  try {
    if (!(await makeOne(path))) return;
  } catch (cause) {
    if (errorCode(cause) !== "ENOENT" || parent === path) throw cause;
    await makeFolder(parent);
    // Once more and no further: some file systems say ENOENT of folders that cannot be.
    await makeOne(path);
  }
  await syncFolder(parent);
}

/** @returns false where it is there already */
async function makeOne(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (cause) {
    if (errorCode(cause) === "EEXIST" && (await stat(path)).isDirectory()) return false;
    throw cause;
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
