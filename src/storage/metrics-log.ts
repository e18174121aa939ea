// The numbers of a run as they come, once as JSON lines and once as CSV, with the same columns.

import { closeSync, fstatSync, fsync, ftruncateSync, openSync, readSync, writeSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { DataError, GhostbatchError } from "../support/errors.ts";
import { fileError } from "./file-error.ts";

export type MetricValue = number | string | boolean | null;

/** One line: a value for some of the columns. Those left out are null in JSON and empty in CSV. */
export type MetricRow<Column extends string = string> = Readonly<Partial<Record<Column, MetricValue>>>;

/** Bytes of metrics.jsonl and of metrics.csv, up to the end of some line. */
export interface MetricsPosition {
  readonly lines: number;
  readonly table: number;
}

/**
 * metrics.jsonl and metrics.csv of a folder. A line is in the operating system's hands when `append` returns, so a
 * killed process loses none; a row that did not fit on the disk is taken back from both files.
 */
export class MetricsLog<Column extends string = string> {
  readonly #columns: readonly Column[];
  readonly #lines: AppendedFile;
  readonly #table: AppendedFile;

  private constructor(columns: readonly Column[], lines: AppendedFile, table: AppendedFile) {
    this.#columns = columns;
    this.#lines = lines;
    this.#table = table;
  }

  /**
   * Makes both files.
   * @param columns all columns that a row may have, in the order of the CSV
   * @throws DataError when a file exists already or cannot be written
   */
  static create<Column extends string>(folder: string, columns: readonly Column[]): MetricsLog<Column> {
    const log = MetricsLog.#open(folder, columns, "ax+", "create");
    log.#table.append(header(columns));
    return log;
  }

  /**
   * Opens the files of a run to go on with them.
   * @throws DataError when one is missing, or has other columns
   */
  static open<Column extends string>(folder: string, columns: readonly Column[]): MetricsLog<Column> {
    const log = MetricsLog.#open(folder, columns, "a+", "open");
    const expected = header(columns);
    if (log.#table.start(expected.length) === expected) return log;
    log.close();
    throw new DataError(`${join(folder, "metrics.csv")}: expected the columns ${expected.trimEnd()}`);
  }

  static #open<Column extends string>(
    folder: string,
    columns: readonly Column[],
    flags: string,
    action: string,
  ) {
    const lines = new AppendedFile(join(folder, "metrics.jsonl"), flags, action);
    try {
      return new MetricsLog(columns, lines, new AppendedFile(join(folder, "metrics.csv"), flags, action));
    } catch (error) {
      lines.close();
      throw error;
    }
  }

  /** Where the next line will stand. */
  get position(): MetricsPosition {
    return { lines: this.#lines.bytes, table: this.#table.bytes };
  }

  /**
   * Takes back every line after a position; null takes back all.
   * @throws DataError when the files do not have a line that ends there
   */
  rewind(position: MetricsPosition | null): void {
    const { lines, table } = position ?? { lines: 0, table: header(this.#columns).length };
    this.#lines.requireLineEnd(lines);
    this.#table.requireLineEnd(table);
    this.#lines.cut(lines);
    this.#table.cut(table);
  }

  /** @throws DataError when the disk refuses; GhostbatchError for a column that was not declared */
  append(row: MetricRow<Column>): void {
    for (const key of Object.keys(row)) {
      if (!this.#columns.includes(key as Column)) {
        throw new GhostbatchError(
          `metrics: column ${key} was not declared, only ${this.#columns.join(", ")}`,
        );
      }
    }
    const cells = this.#columns.map((column) => storable(row[column] ?? null));
    const entries = this.#columns.map((column, i) => [column, cells[i]]);
    const files = [this.#lines, this.#table];
    const before = files.map((file) => file.bytes);
    try {
      this.#lines.append(`${JSON.stringify(Object.fromEntries(entries))}\n`);
      this.#table.append(`${cells.map(csvCell).join(",")}\n`);
    } catch (error) {
      // A disk that has just become full may have taken the start of a line.
      for (const [i, file] of files.entries()) file.cut(before[i]);
      throw error;
    }
  }

  /** Resolves when all lines are on the disk. */
  async sync(): Promise<void> {
    await Promise.all([this.#lines.sync(), this.#table.sync()]);
  }

  close(): void {
    this.#lines.close();
    this.#table.close();
  }
}

class AppendedFile {
  readonly #path: string;
  readonly #file: number;
  #closed = false;
  bytes: number;

  constructor(path: string, flags: string, action: string) {
    this.#path = path;
    try {
      // "a+" would make a file that is missing.
      if (flags === "a+") closeSync(openSync(path, "r+"));
      this.#file = openSync(path, flags);
      this.bytes = fstatSync(this.#file).size;
    } catch (cause) {
      throw fileError(cause, action, path);
    }
  }

  /** The first bytes, as text. */
  start(bytes: number): string {
    return this.#read(0, bytes);
  }

  requireLineEnd(bytes: number): void {
    if (bytes === 0 || (bytes <= this.bytes && this.#read(bytes - 1, 1) === "\n")) return;
    throw new DataError(
      `${this.#path}: expected a line that ends at byte ${bytes}, in ${this.bytes} bytes there is none`,
    );
  }

  #read(offset: number, bytes: number): string {
    const target = new Uint8Array(bytes);
    return new TextDecoder().decode(target.subarray(0, readSync(this.#file, target, 0, bytes, offset)));
  }

  append(text: string): void {
    const bytes = new TextEncoder().encode(text);
    try {
      let done = 0;
      while (done < bytes.length) done += writeSync(this.#file, bytes, done);
      this.bytes += bytes.length;
    } catch (cause) {
      throw fileError(cause, "write", this.#path);
    }
  }

  cut(bytes: number): void {
    ftruncateSync(this.#file, bytes);
    this.bytes = bytes;
  }

  async sync(): Promise<void> {
    try {
      await promisify(fsync)(this.#file);
    } catch (cause) {
      throw fileError(cause, "write", this.#path);
    }
  }

  /** May be called again. */
  close(): void {
    if (!this.#closed) closeSync(this.#file);
    this.#closed = true;
  }
}

function header(columns: readonly string[]): string {
  return `${columns.map(csvCell).join(",")}\n`;
}

/** JSON has no numbers that are not finite; their names survive both formats. */
function storable(value: MetricValue): MetricValue {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** One field by RFC 4180: quoted where it has a comma, a quote or a line break. */
function csvCell(value: MetricValue): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
