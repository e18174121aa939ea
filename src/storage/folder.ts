// Durable folders: they exist under their names even after a power failure.

import { type FileHandle, mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { DataError } from "../support/errors.ts";
import { errorCode, fileError } from "./file-error.ts";

/**
 * Creates a folder and its parents, durably; an existing one is not changed. All folders here are created this way, one by
 * one: Node's recursive call never returns on some file systems, and reports ENOENT for every refusal.
 * @throws DataError naming the folder, and what exists in its place or why it cannot be created
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
    // Only once more: some file systems report ENOENT for folders that cannot be created.
    await makeOne(path);
  }
  await syncFolder(parent);
}

/** @returns false if it already exists */
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

/** Makes the names of a folder's files durable; a rename is not until the folder is synced. */
export async function syncFolder(path: string): Promise<void> {
  let folder: FileHandle;
  try {
    folder = await open(path, "r");
  } catch (cause) {
    // Windows cannot open folders; its renames are journaled.
    if (["EISDIR", "EPERM", "EACCES"].includes(errorCode(cause) ?? "")) return;
    throw cause;
  }
  try {
    await folder.sync();
  } catch (cause) {
    // Some network and FUSE file systems cannot sync folders; the rename itself has succeeded.
    if (!["EINVAL", "ENOTSUP", "EPERM", "EBADF"].includes(errorCode(cause) ?? "")) throw cause;
  } finally {
    await folder.close();
  }
}
