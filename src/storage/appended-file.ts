// A text file to which one process appends whole lines.

import { randomUUID } from "node:crypto";
import { closeSync, fstatSync, fsync, ftruncateSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { rename, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { DataError } from "../support/errors.ts";
import { fileError } from "./file-error.ts";
import { syncFolder } from "./folder.ts";

/** Bytes copied at a time. */
const CHUNK = 2 ** 20;

export class AppendedFile {
  /** Its path, for messages and for replacing it. */
  path: string;
  #file: number;
  /** Whether another process may also have it open. */
  #isShared: boolean;
  #closed = false;
  /** Its length, as written or found by this process. */
  bytes: number;

  private constructor(path: string, file: number, isShared: boolean) {
    this.path = path;
    this.#file = file;
    this.#isShared = isShared;
    this.bytes = fstatSync(file).size;
  }

  /** Creates an empty file. @throws DataError if it already exists or cannot be created */
  static create(path: string): AppendedFile {
    try {
      return new AppendedFile(path, openSync(path, "ax+"), false);
    } catch (cause) {
      throw fileError(cause, "create", path);
    }
  }

  /** Opens another process's file, for reading until `rewind` takes it over. @throws DataError */
  static open(path: string): AppendedFile {
    try {
      // Opening a pipe would block until it has a writer.
      if (!statSync(path).isFile()) throw new DataError(`${path}: expected a file`);
      return new AppendedFile(path, openSync(path, "r"), true);
    } catch (cause) {
      throw fileError(cause, "open", path);
    }
  }

  /** The first bytes, as text. */
  start(bytes: number): string {
    return new TextDecoder().decode(this.#read(0, bytes));
  }

  /** @throws DataError unless a line ends at this byte */
  requireLineEnd(bytes: number): void {
    if (bytes === 0 || (bytes <= this.bytes && this.#read(bytes - 1, 1)[0] === 10)) return; // "\n"
    throw new DataError(
      `${this.path}: expected a line that ends at byte ${bytes}, found none in ${this.bytes} bytes`,
    );
  }

  /** @throws DataError if writing fails; the start of the text may then have been written */
  append(text: string): void {
    try {
      writeWhole(this.#file, new TextEncoder().encode(text));
      this.bytes += Buffer.byteLength(text);
    } catch (cause) {
      throw fileError(cause, "write", this.path);
    }
  }

  /** Removes everything after a byte. @throws DataError if that fails */
  cut(bytes: number): void {
    try {
      ftruncateSync(this.#file, bytes);
      this.bytes = bytes;
    } catch (cause) {
      throw fileError(cause, "shorten", this.path);
    }
  }

  /**
   * As `cut` if the file belongs to this process; otherwise replaces it with a copy of its first bytes.
   * @param permitted is awaited first, and throws if this is not allowed
   */
  async rewind(bytes: number, permitted: () => Promise<void>): Promise<void> {
    if (!this.#isShared) return this.cut(bytes);
    const temporary = `${this.path}.${randomUUID()}.tmp`;
    let copy: number | null = null;
    try {
      copy = openSync(temporary, "ax+");
      for (let at = 0; at < bytes; at += CHUNK) writeWhole(copy, this.#read(at, Math.min(CHUNK, bytes - at)));
      await promisify(fsync)(copy);
      await permitted();
      await rename(temporary, this.path);
      await syncFolder(dirname(this.path));
    } catch (cause) {
      if (copy !== null) closeSync(copy);
      await unlink(temporary).catch(() => undefined);
      throw fileError(cause, "write", this.path);
    }
    closeSync(this.#file);
    this.#file = copy;
    this.#isShared = false;
    this.bytes = bytes;
  }

  /**
   * Resolves when everything is on disk.
   * @throws DataError if that fails, or if the path is no longer the file that this process has written
   */
  async sync(): Promise<void> {
    const { bytes } = this;
    let found: number;
    try {
      await promisify(fsync)(this.#file);
      found = (await stat(this.path)).size;
    } catch (cause) {
      throw fileError(cause, "write", this.path);
    }
    // Lines may have been appended in the meantime.
    if (found >= bytes && found <= this.bytes) return;
    throw new DataError(
      `${this.path}: expected the ${this.bytes} bytes that this process has written, found ${found}; another process is writing this file, so this one stops`,
    );
  }

  /** May be called repeatedly. */
  close(): void {
    if (!this.#closed) closeSync(this.#file);
    this.#closed = true;
  }

  #read(offset: number, bytes: number): Uint8Array {
    const target = new Uint8Array(bytes);
    let done = 0;
    try {
      while (done < bytes) {
        const read = readSync(this.#file, target, done, bytes - done, offset + done);
        if (read === 0) break;
        done += read;
      }
    } catch (cause) {
      throw fileError(cause, "read", this.path);
    }
    return target.subarray(0, done);
  }
}

function writeWhole(file: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(file, bytes, done);
}
