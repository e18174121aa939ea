// Reads files of a known layout completely, or rejects them.

import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { fileError } from "../storage/file-error.ts";
import { DataError } from "../support/errors.ts";

/** @throws DataError when the file cannot be opened */
export function openBinaryFile(path: string): number {
  try {
    return openSync(path, "r");
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
}

/** Fills `target` with the start of the file. @throws DataError when the file is shorter */
export function readFully(file: number, target: Uint8Array, path: string): void {
  let done = 0;
  while (done < target.length) {
    // One call reads less than 2 GiB.
    const count = readSync(file, target, done, Math.min(target.length - done, 2 ** 30), done);
    if (count === 0) {
      throw new DataError(
        `${path}: byte ${done}: the file ends here, expected ${target.length - done} more bytes`,
      );
    }
    done += count;
  }
}

/**
 * Reads a file that has exactly `count` records of `recordBytes` bytes; allocates memory only after checking its size.
 * @throws DataError with path, byte offset, what was expected and what was found
 */
export function readRecords(
  path: string,
  { count, recordBytes }: { count: number; recordBytes: number },
): Uint8Array {
  const file = openBinaryFile(path);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile())
      throw new DataError(`${path}: expected a file of records, found a folder or a device`);
    const expected = count * recordBytes;
    if (stat.size !== expected) {
      const [what, at] = stat.size < expected ? ["truncated", stat.size] : ["too long", expected];
      throw new DataError(
        `${path}: byte ${at}: expected ${expected} bytes, ${count} records of ${recordBytes}; ` +
          `the file has ${stat.size} (${what}: fetch it again)`,
      );
    }
    const bytes = new Uint8Array(expected);
    readFully(file, bytes, path);
    return bytes;
  } finally {
    closeSync(file);
  }
}
