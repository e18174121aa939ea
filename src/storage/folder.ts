// Folders that are there, under their names, after a power loss too.

import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { DataError } from "../support/errors.ts";
import { errorCode, fileError } from "./file-error.ts";

/**
 * Makes a folder and those above it, durably; one that is there stays as it is. The only way to make folders here, step by
 * step: the recursive call of the system's library never ends on some file systems, and says ENOENT for whatever one refuses.
 * @throws DataError naming the folder, and what stands in its place or why the disk refuses
 */
export async function makeFolder(path: string): Promise<void> {
  try {
    await makeStepwise(path);
  } catch (cause) {
    throw fileError(cause, "create the folder", path);
  }
}

async function makeStepwise(path: string): Promise<void> {
  const parent = dirname(path);
  try {
    if (!(await makeOne(path))) return;
  } catch (cause) {
    if (errorCode(cause) !== "ENOENT" || parent === path) throw cause;
    await makeStepwise(parent);
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
    if (errorCode(cause) !== "EEXIST") throw cause;
    const found = await stat(path).catch(() => null);
    if (found?.isDirectory()) return false;
    throw new DataError(`${path}: expected a folder, found ${found === null ? "a broken link" : "a file"}`);
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
