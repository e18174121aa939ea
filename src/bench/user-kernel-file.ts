/** Reads the user's file before opening anything. */
import { readFileSync, statSync } from "node:fs";
import { DataError } from "../support/errors.ts";

/** Largest file in bytes, far more than a kernel needs. */
const MOST = 16 * 2 ** 20;

/** @throws DataError for a file that is missing, not readable, a pipe, too large, empty, or not UTF-8 */
export function readKernel(path: string): string {
  let bytes: Uint8Array;
  try {
    const found = statSync(path);
    if (!found.isFile() && !found.isDirectory())
      throw new DataError(`${path}: a pipe or a device, which cannot be read twice; expected a .wgsl file`);
    if (found.size > MOST)
      throw new DataError(`${path}: ${found.size} bytes; expected a kernel of ${MOST} at most`);
    bytes = readFileSync(path);
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`${path}: ${reason(cause as NodeJS.ErrnoException)}`, { cause });
  }
  if (bytes.length === 0) throw new DataError(`${path}: empty; expected a kernel in WGSL`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes); // removes a byte order mark
    if (text.trim() === "") throw new DataError(`${path}: contains only blanks; expected a kernel in WGSL`);
    return text;
  } catch (cause) {
    if (cause instanceof DataError) throw cause;
    throw new DataError(`${path}: not UTF-8; WGSL is text in UTF-8`, { cause });
  }
}

function reason({ code, message }: NodeJS.ErrnoException): string {
  if (code === "ENOENT") return "no such file";
  if (code === "EISDIR") return "a folder; expected a .wgsl file";
  return `cannot be read: ${message}`;
}
