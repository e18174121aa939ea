// The numbers of a run as they come, once as JSON lines and once as CSV, with the same columns.

import { closeSync, fsyncSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { GhostbatchError } from "../support/errors.ts";
import { fileError } from "./file-error.ts";

export type MetricValue = number | string | boolean | null;

/** One line: a value for some of the columns. Those left out are null in JSON and empty in CSV. */
export type MetricRow<Column extends string = string> = Readonly<Partial<Record<Column, MetricValue>>>;

/**
 * metrics.jsonl and metrics.csv of a folder. A line is in the operating system's hands when `append` returns, so a
 * killed process loses none; a row that did not fit on the disk is taken back from both files.
 */
export class MetricsLog<Column extends string = string> {
  readonly #columns: readonly Column[];
  readonly #lines: AppendedFile;
  readonly #table: AppendedFile;

  /**
   * Creates both files.
   * @param columns all columns that a row may have, in the order of the CSV
   * @throws DataError when a file exists already or cannot be written
   */
  constructor(folder: string, columns: readonly Column[]) {
    this.#columns = columns;
    this.#lines = new AppendedFile(join(folder, "metrics.jsonl"));
    this.#table = new AppendedFile(join(folder, "metrics.csv"));
    this.#table.append(`${columns.map(csvCell).join(",")}\n`);
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

  /** Waits until all lines are on the disk. */
  sync(): void {
    this.#lines.sync();
    this.#table.sync();
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
  bytes = 0;

  constructor(path: string) {
    this.#path = path;
    try {
      this.#file = openSync(path, "ax");
    } catch (cause) {
      throw fileError(cause, "create", path);
    }
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

  sync(): void {
    try {
      fsyncSync(this.#file);
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

/** JSON has no numbers that are not finite; their names survive both formats. */
function storable(value: MetricValue): MetricValue {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** One field by RFC 4180: quoted where it has a comma, a quote or a line break. */
function csvCell(value: MetricValue): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
