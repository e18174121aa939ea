// The header of a safetensors file: eight bytes with its length, little-endian, then JSON that names the tensors,
//
//   {"__metadata__": {"key": "text"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, …}
//
// with offsets into the rest of the file, which the tensors cover without holes or overlaps.
// Source: the format's own description, github.com/huggingface/safetensors, README "Format".
//
// Files are untrusted, so everything is checked against the size of the file.

import { DataError } from "../support/errors.ts";

/** Bytes of one value. */
export const DTYPE_BYTES = { F64: 8, I64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, U8: 1 } as const;

export type Dtype = keyof typeof DTYPE_BYTES;

export interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Position of the first byte in the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  /** In the header's order. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Bytes of the length word. */
export const PREFIX_BYTES = 8;
// The reference implementation's own limit.
const MAX_HEADER_BYTES = 100_000_000;
// File, tensor, shape.
const MAX_DEPTH = 3;

/**
 * Length of the JSON from the first eight bytes of a file of `fileBytes` bytes.
 * @throws DataError if the file is too short for it
 */
export function headerLength(prefix: Uint8Array, fileBytes: number, path: string): number {
  if (prefix.length < PREFIX_BYTES) {
    throw new DataError(
      `${path}: byte 0: expected a safetensors file of at least 8 bytes, found ${prefix.length}`,
    );
  }
  const length = new DataView(prefix.buffer, prefix.byteOffset, PREFIX_BYTES).getBigUint64(0, true);
  const most = Math.min(fileBytes - PREFIX_BYTES, MAX_HEADER_BYTES);
  if (length < 2n || length > BigInt(most)) {
    throw new DataError(
      `${path}: byte 0: expected the length of a safetensors header, 2 to ${most} in a file of ${fileBytes} bytes, ` +
        `found ${length} (truncated, or not a safetensors file)`,
    );
  }
  return Number(length);
}

/**
 * Checks the JSON of a header against the size of its file.
 * @param text the header's bytes, without the length word
 * @throws DataError naming the tensor and what is wrong with it
 */
export function parseHeader(text: Uint8Array, fileBytes: number, path: string): SafetensorsHeader {
  const dataStart = PREFIX_BYTES + text.length;
  const json = parseJson(text, path);
  const tensors = new Map<string, TensorEntry>();
  let metadata = new Map<string, string>();
  for (const [name, value] of Object.entries(requireObject(json, `${path}: header`))) {
    if (name === "__metadata__") {
      metadata = parseMetadata(value, `${path}: __metadata__`);
    } else {
      tensors.set(
        name,
        parseEntry(value, { dataStart, fileBytes, where: `${path}: tensor ${quoted(name)}` }),
      );
    }
  }
  requireCovered(tensors, dataStart, fileBytes, path);
  return { tensors, metadata };
}

function parseJson(text: Uint8Array, path: string): unknown {
  let json: string;
  try {
    json = new TextDecoder("utf-8", { fatal: true }).decode(text);
  } catch (cause) {
    throw new DataError(`${path}: byte ${PREFIX_BYTES}: the header is not UTF-8 text`, { cause });
  }
  requireFlatAndUnique(json, path);
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new DataError(`${path}: byte ${PREFIX_BYTES}: the header is not JSON`, { cause });
  }
}

/** Checks what JSON.parse accepts: deep nesting, and duplicate names in an object. Malformed text is left to JSON.parse. */
function requireFlatAndUnique(json: string, path: string): void {
  const names: Set<string>[] = [];
  for (let i = 0; i < json.length; i++) {
    const symbol = json[i];
    if (symbol === "{" || symbol === "[") {
      names.push(new Set());
      if (names.length > MAX_DEPTH) {
        throw new DataError(
          `${path}: byte ${PREFIX_BYTES}: the header is nested deeper than ${MAX_DEPTH} levels`,
        );
      }
    } else if (symbol === "}" || symbol === "]") {
      names.pop();
    } else if (symbol === '"') {
      const start = i++;
      while (i < json.length && json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
      if (!followedByColon(json, i + 1)) continue;
      const name = decodeString(json.slice(start, i + 1));
      const siblings = names.at(-1);
      if (siblings?.has(name)) throw new DataError(`${path}: header: the name ${quoted(name)} occurs twice`);
      siblings?.add(name);
    }
  }
}

function followedByColon(json: string, from: number): boolean {
  let i = from;
  while (json[i] === " " || json[i] === "\n" || json[i] === "\t" || json[i] === "\r") i++;
  return json[i] === ":";
}

/** Two spellings of one name ("a", "\u0061") are the same name. */
function decodeString(literal: string): string {
  try {
    return JSON.parse(literal) as string;
  } catch {
    return literal;
  }
}

function parseMetadata(value: unknown, where: string): Map<string, string> {
  const metadata = new Map<string, string>();
  for (const [key, text] of Object.entries(requireObject(value, where))) {
    if (typeof text !== "string")
      throw new DataError(`${where}: expected text for ${quoted(key)}, found ${kind(text)}`);
    metadata.set(key, text);
  }
  return metadata;
}

function parseEntry(
  value: unknown,
  { dataStart, fileBytes, where }: { dataStart: number; fileBytes: number; where: string },
): TensorEntry {
  const { dtype, shape, data_offsets: range, ...unknown } = requireObject(value, where);
  const [extra] = Object.keys(unknown);
  if (extra !== undefined) throw new DataError(`${where}: unknown key ${quoted(extra)}`);
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPE_BYTES, dtype)) {
    const known = Object.keys(DTYPE_BYTES).join(", ");
    throw new DataError(
      `${where}: expected a dtype of ${known}, found ${typeof dtype === "string" ? quoted(dtype) : kind(dtype)}`,
    );
  }
  if (!isSizes(shape)) throw new DataError(`${where}: expected a shape of whole numbers`);
  if (!isSizes(range) || range.length !== 2 || range[0] > range[1]) {
    throw new DataError(`${where}: expected data_offsets [begin, end] of whole numbers, begin <= end`);
  }
  const [begin, end] = range;
  if (end > fileBytes - dataStart) {
    throw new DataError(
      `${where}: data_offsets end at ${end}, but the file has ${fileBytes - dataStart} bytes of data (truncated?)`,
    );
  }
  const bytes = shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype as Dtype]);
  if (bytes !== end - begin) {
    throw new DataError(
      `${where}: ${dtype} [${shape.join(", ")}] takes ${bytes} bytes, but its data_offsets span ${end - begin}`,
    );
  }
  return { dtype: dtype as Dtype, shape, offset: dataStart + begin, bytes };
}

function requireCovered(
  tensors: ReadonlyMap<string, TensorEntry>,
  dataStart: number,
  fileBytes: number,
  path: string,
): void {
  let covered = dataStart;
  const inOrder = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  for (const [name, { offset, bytes }] of inOrder) {
    if (offset !== covered) {
      const what =
        offset < covered
          ? "overlaps the one before it"
          : `leaves a hole of ${offset - covered} bytes before it`;
      throw new DataError(`${path}: tensor ${quoted(name)} at byte ${offset} ${what}`);
    }
    covered += bytes;
  }
  if (covered !== fileBytes) {
    throw new DataError(
      `${path}: byte ${covered}: ${fileBytes - covered} bytes after the last tensor belong to no tensor`,
    );
  }
}

function requireObject(value: unknown, where: string): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new DataError(`${where}: expected a JSON object, found ${kind(value)}`);
  }
  return value as Record<string, unknown>;
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

function kind(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  return Array.isArray(value) ? "a list" : `a value of type ${typeof value}`;
}

/** A name from the file, for a message: on one line, and not too long. */
function quoted(name: string): string {
  const text = JSON.stringify(name);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
