import { closeSync, fstatSync } from "node:fs";
import { type IdxArray, parseIdx, parseIdxHeader } from "../data/idx.ts";
import { DataError } from "../support/errors.ts";
import { openBinaryFile, readFully } from "./binary-file.ts";

/**
 * Reads an array of bytes with a known number of dimensions. Allocates nothing until the sizes in the header match
 * the file's size exactly.
 * @throws DataError with path, byte offset, what was expected and what was found
 */
export function readIdx(path: string, dimensions: number): IdxArray {
  const file = openBinaryFile(path);
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw new DataError(`${path}: expected an idx file, found a folder or a device`);
    const header = new Uint8Array(Math.min(stat.size, 4 + 4 * dimensions));
    readFully(file, header, path);
    parseIdxHeader(header, { path, dimensions, fileBytes: stat.size });
    const bytes = new Uint8Array(stat.size);
    readFully(file, bytes, path);
    return parseIdx(bytes, path, dimensions);
  } finally {
    closeSync(file);
  }
}
