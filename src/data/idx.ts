// The idx format of MNIST: two zero bytes, a type code, the number of dimensions, the sizes of the dimensions as
// big-endian 32-bit words, then the values. Only bytes (type 0x08) occur here.
// Source: LeCun, Cortes and Burges, the page of the MNIST database, "File formats".

import { DataError } from "../support/errors.ts";

export interface IdxArray {
  readonly shape: readonly number[];
  /** The values, in the file's order: a view of `file`. */
  readonly values: Uint8Array;
  /** Byte offset of the first value in the file. */
  readonly offset: number;
  /** The whole file. */
  readonly file: Uint8Array;
}

const TYPE_BYTE = 0x08;

/**
 * Parses an array of bytes with a known number of dimensions.
 * @param path names the file in messages
 * @throws DataError with path, byte offset, what was expected and what was found
 */
export function parseIdx(bytes: Uint8Array, path: string, dimensions: number): IdxArray {
  const { shape, offset } = parseIdxHeader(bytes, { path, dimensions, fileBytes: bytes.length });
  return { shape, values: bytes.subarray(offset), offset, file: bytes };
}

/**
 * The sizes in a header, after checking that they match the file's size exactly.
 * @param bytes at least the file's first 4 + 4·dimensions bytes, or all if it is shorter
 * @throws DataError as parseIdx
 */
export function parseIdxHeader(
  bytes: Uint8Array,
  { path, dimensions, fileBytes }: { path: string; dimensions: number; fileBytes: number },
): { shape: number[]; offset: number } {
  const offset = 4 + 4 * dimensions;
  const magic = [0, 0, TYPE_BYTE, dimensions];
  const wrong = magic.findIndex((byte, i) => bytes[i] !== byte);
  if (wrong >= 0) {
    const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
    throw new DataError(
      `${path}: byte ${wrong}: expected an idx file of bytes with ${dimensions} dimension(s), which starts ${hex(magic)}, ` +
        `found ${hex(bytes.subarray(0, 4))}${isGzip ? " (a gzip file: unpack it with gunzip)" : ""}`,
    );
  }
  if (fileBytes < offset) {
    throw new DataError(
      `${path}: byte ${fileBytes}: expected a header of ${offset} bytes, but the file ends here`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, offset);
  const shape = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  // A product of sizes can reach 2^96 and be rounded in a double, but never down to the size of a file.
  const expected = offset + shape.reduce((product, size) => product * size, 1);
  if (expected !== fileBytes) {
    throw new DataError(
      `${path}: byte 4: the header announces ${shape.join(" × ")} values, a file of ${expected} bytes, but the file has ${fileBytes} ` +
        `(${fileBytes < expected ? "truncated" : "too long"}: fetch it again)`,
    );
  }
  return { shape, offset };
}

function hex(bytes: Iterable<number>): string {
  const text = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(" ");
  return text === "" ? "nothing (the file is empty)" : text;
}
