// Reads and writes tensors in the safetensors format, with PyTorch's names and layouts.

import { type FileHandle, open } from "node:fs/promises";
import { DataError } from "../support/errors.ts";
import { writeFileAtomically } from "./atomic-file.ts";
import { fileError } from "./file-error.ts";
import {
  DTYPE_BYTES,
  type Dtype,
  headerLength,
  PREFIX_BYTES,
  parseHeader,
  type TensorEntry,
} from "./safetensors-header.ts";

/** The values of a stored tensor. F16 and BF16 are read as the f32 numbers they stand for. */
export type TensorData = Float32Array | Float64Array | Int32Array | Uint32Array | BigInt64Array | Uint8Array;

export interface StoredTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

export interface TensorFile {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** A tensor to write; its type is that of its data. */
export interface TensorToStore {
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** An open safetensors file: its header has been read, its tensors are read one at a time. */
export interface OpenTensorFile {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: ReadonlyMap<string, string>;
  /** @throws DataError if there is no tensor of that name, or the file has been truncated since it was opened */
  read(name: string): Promise<StoredTensor>;
  close(): Promise<void>;
}

/**
 * Opens a file and checks its header. Allocates memory only for the header and for each tensor that is read.
 * @throws DataError naming the file and what is wrong with it
 */
export async function openSafetensors(path: string): Promise<OpenTensorFile> {
  const file = await open(path, "r").catch((cause) => {
    throw fileError(cause, "read", path);
  });
  try {
    const stat = await file.stat();
    if (!stat.isFile())
      throw new DataError(`${path}: expected a safetensors file, found a folder or a device`);
    const prefix = await readRange(file, { path, offset: 0, bytes: Math.min(PREFIX_BYTES, stat.size) });
    const bytes = headerLength(prefix, stat.size, path);
    const { tensors, metadata } = parseHeader(
      await readRange(file, { path, offset: PREFIX_BYTES, bytes }),
      stat.size,
      path,
    );
    const read = async (name: string) => {
      const entry = tensors.get(name);
      if (entry === undefined) throw new DataError(`${path}: no tensor ${JSON.stringify(name)}`);
      return decodeTensor(entry, await readRange(file, { path, ...entry }));
    };
    return { tensors, metadata, read, close: () => file.close() };
  } catch (cause) {
    await file.close();
    throw fileError(cause, "read", path);
  }
}

/** Reads all tensors of a file. @throws DataError as `openSafetensors` */
export async function readSafetensors(path: string): Promise<TensorFile> {
  const file = await openSafetensors(path);
  try {
    const tensors = new Map<string, StoredTensor>();
    for (const name of file.tensors.keys()) tensors.set(name, await file.read(name));
    return { tensors, metadata: file.metadata };
  } finally {
    await file.close();
  }
}

/** Reads all tensors from bytes in memory; `path` is for messages. @throws DataError */
export function decodeSafetensors(bytes: Uint8Array, path: string): TensorFile {
  const length = headerLength(bytes.subarray(0, PREFIX_BYTES), bytes.length, path);
  const header = parseHeader(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length), bytes.length, path);
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of header.tensors) {
    // Not bytes.slice, which for a Buffer is a view into a pool.
    tensors.set(
      name,
      decodeTensor(entry, new Uint8Array(bytes.subarray(entry.offset, entry.offset + entry.bytes))),
    );
  }
  return { tensors, metadata: header.metadata };
}

/**
 * The bytes of a file, in pieces that do not copy the data.
 * @throws DataError for a name that the format reserves, or a shape that does not fit its data
 */
export function encodeSafetensors(
  tensors: Iterable<readonly [string, TensorToStore]>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array[] {
  const header = new Map<string, unknown>();
  if (Object.keys(metadata).length > 0) header.set("__metadata__", metadata);
  const pieces: Uint8Array[] = [];
  let end = 0;
  // Wider types first, so that every tensor starts at a multiple of its own size.
  const ordered = [...tensors].map(([name, tensor]) => ({ name, ...tensor, dtype: dtypeOf(tensor.data) }));
  ordered.sort((a, b) => DTYPE_BYTES[b.dtype] - DTYPE_BYTES[a.dtype]);
  for (const { name, dtype, shape, data } of ordered) {
    const size = shape.reduce((product, length) => product * length, 1);
    if (name === "__metadata__" || header.has(name)) {
      throw new DataError(`safetensors: the tensor name ${JSON.stringify(name)} is taken`);
    }
    if (size !== data.length) {
      throw new DataError(
        `safetensors: tensor ${name}: shape [${shape.join(", ")}] does not match its ${data.length} values`,
      );
    }
    header.set(name, { dtype, shape, data_offsets: [end, end + data.byteLength] });
    pieces.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    end += data.byteLength;
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)));
  // Spaces up to a multiple of 8 keep the data aligned for readers that map the file.
  const start = new Uint8Array(PREFIX_BYTES + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(start.length - PREFIX_BYTES), true);
  start.set(json, PREFIX_BYTES);
  return [start, ...pieces];
}

/** Writes a file atomically. @throws DataError if a tensor is invalid or writing fails */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<readonly [string, TensorToStore]>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomically(path, encodeSafetensors(tensors, metadata));
}

function dtypeOf(data: TensorData): Dtype {
  if (data instanceof Float32Array) return "F32";
  if (data instanceof Float64Array) return "F64";
  if (data instanceof Int32Array) return "I32";
  if (data instanceof Uint32Array) return "U32";
  return data instanceof BigInt64Array ? "I64" : "U8";
}

/** @param bytes the tensor's bytes, in a buffer of their own; the result is a view of it if possible */
function decodeTensor({ dtype, shape }: TensorEntry, bytes: Uint8Array): StoredTensor {
  const { buffer } = bytes;
  switch (dtype) {
    case "F64":
      return { dtype, shape, data: new Float64Array(buffer) };
    case "I64":
      return { dtype, shape, data: new BigInt64Array(buffer) };
    case "F32":
      return { dtype, shape, data: new Float32Array(buffer) };
    case "I32":
      return { dtype, shape, data: new Int32Array(buffer) };
    case "U32":
      return { dtype, shape, data: new Uint32Array(buffer) };
    case "F16":
      return { dtype, shape, data: Float32Array.from(new Uint16Array(buffer), halfToNumber) };
    case "BF16":
      // A bfloat16 is the upper half of a float32.
      return {
        dtype,
        shape,
        data: new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer),
      };
    case "U8":
      return { dtype, shape, data: bytes };
  }
}

/** The value of 16 bits as an IEEE 754 binary16. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

async function readRange(
  file: FileHandle,
  { path, offset, bytes }: { path: string; offset: number; bytes: number },
): Promise<Uint8Array> {
  const target = new Uint8Array(bytes);
  let done = 0;
  while (done < bytes) {
    // One call reads less than 2 GiB.
    const { bytesRead } = await file.read(target, done, Math.min(bytes - done, 2 ** 30), offset + done);
    if (bytesRead === 0)
      throw new DataError(
        `${path}: byte ${offset + done}: the file ends here, expected ${bytes - done} more bytes`,
      );
    done += bytesRead;
  }
  return target;
}
