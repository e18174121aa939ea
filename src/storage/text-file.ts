// Reads text files written by others: of any size, and perhaps not regular files at all.

import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from "node:fs";
import { DataError } from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";
import { errorCode, fileError } from "./file-error.ts";

/** Bytes; far more than a record, a summary or the metrics of a long run need. */
const MOST = 256 * 2 ** 20;

export interface TextFileOptions {
  /** Largest size in bytes; a larger file is rejected before it is read. Default 256 MiB. */
  readonly most?: number;
  /** Whether to accept a pipe or a terminal, which is read until it closes. */
  readonly orPipe?: boolean;
}

/**
 * The text of a UTF-8 file.
 * @throws DataError if it is missing, a folder, a pipe or a device, too large, or cannot be read
 */
export function readTextFile(path: string, options: TextFileOptions = {}): string {
  const { most = MOST, orPipe = false } = options;
  try {
    // Without this flag, opening a pipe without a writer would block.
    const file = openSync(path, constants.O_RDONLY | (orPipe ? 0 : (constants.O_NONBLOCK ?? 0)));
    try {
      const found = fstatSync(file);
      const isPipe = found.isFIFO() || found.isCharacterDevice() || found.isSocket();
      if (!found.isFile() && !(orPipe && isPipe))
        throw new DataError(`${path}: expected a file, found ${kindOf(found)}`);
      if (found.size > most) throw tooLarge(path, formatBytes(found.size), most);
      return new TextDecoder().decode(readUpTo(file, path, most));
    } finally {
      closeSync(file);
    }
  } catch (cause) {
    throw fileError(cause, "read", path);
  }
}

/** The same, or null if the file does not exist. */
export function readTextFileIfAny(path: string, options: TextFileOptions = {}): string | null {
  try {
    return readTextFile(path, options);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(errorCode((error as Error).cause) ?? "")) return null;
    throw error;
  }
}

/** Does not rely on the size that the system reports: a pipe has none, and files grow. */
function readUpTo(file: number, path: string, most: number): Uint8Array {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for (;;) {
    const piece = new Uint8Array(2 ** 16);
    const count = readSync(file, piece, 0, piece.length, null);
    if (count === 0) return Buffer.concat(pieces, bytes);
    pieces.push(piece.subarray(0, count));
    bytes += count;
    if (bytes > most) throw tooLarge(path, "more", most);
  }
}

function tooLarge(path: string, found: string, most: number): DataError {
  return new DataError(`${path}: expected at most ${formatBytes(most)}, found ${found}`);
}

function kindOf(found: Stats): string {
  if (found.isDirectory()) return "a folder";
  return found.isFIFO() ? "a pipe" : "a device";
}
