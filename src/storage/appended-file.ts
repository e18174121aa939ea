// A text file that grows by whole lines, for one process alone.

import { randomUUID } from "node:crypto";
import { closeSync, fstatSync, fsync, ftruncateSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { rename, stat, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { DataError } from "../support/errors.ts";
import { fileError } from "./file-error.ts";
import { syncFolder } from "./folder.ts";

/** Bytes that are copied at a time. */
const CHUNK = 2 ** 20;

export class AppendedFile {
  /** For messages, and for what takes its place. */
  path: string;
  #file: number;
  /** Whether another process may have it open too. */
  #isShared: boolean;
  #closed = false;
  /** Its length, as far as this process has written or found it. */
  bytes: number;

  private constructor(path: string, file: number, isShared: boolean) {
    this.path = path;
    this.#file = file;
    this.#isShared = isShared;
    this.bytes = fstatSync(file).size;
  }

  /** Makes an empty file. @throws DataError when there is one already, or the disk refuses */
  static create(path: string): AppendedFile {
    try {
      return new AppendedFile(path, openSync(path, "ax+"), false);
    } catch (cause) {
      throw fileError(cause, "create", path);
    }
  }

  /** Opens the file of another process: to be read, until `rewind` makes it this one's. @throws DataError */
  static open(path: string): AppendedFile {
    try {
      // Opening a pipe would wait for its writer.
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

  /** @throws DataError when the disk refuses; it may have taken the start of the text then */
  append(text: string): void {
    try {
      writeWhole(this.#file, new TextEncoder().encode(text));
      this.bytes += Buffer.byteLength(text);
    } catch (cause) {
      throw fileError(cause, "write", this.path);
    }
  }

  /** Takes back what stands after a byte. @throws DataError when the disk refuses */
  cut(bytes: number): void {
    try {
      ftruncateSync(this.#file, bytes);
      this.bytes = bytes;
    } catch (cause) {
      throw fileError(cause, "shorten", this.path);
    }
  }

  /**
   * As `cut`, where the file is this process's own; else puts a copy of its first bytes in its place.
   * @param permitted is awaited before, and throws where that may not be
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
   * Resolves when all of it is on the disk.
   * @throws DataError when the disk refuses, or the path has another file than this process has written
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
    // Lines may have been appended meanwhile.
    if (found >= bytes && found <= this.bytes) return;
    throw new DataError(
      `${this.path}: expected the ${this.bytes} bytes that this process has written, found ${found}: another process is writing this file, so this one stops`,
    );
  }

  /** May be called again. */
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
