// The numbers of a run as they come, once as JSON lines and once as CSV, with the same columns.

import { join } from "node:path";
import { DataError, GhostbatchError } from "../support/errors.ts";
import { AppendedFile } from "./appended-file.ts";

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
    const log = MetricsLog.#open(folder, columns, AppendedFile.create);
    log.#table.append(header(columns));
    return log;
  }

  /**
   * Opens the files that another process has left; `rewind` makes them this one's own.
   * @throws DataError when one is missing, or has other columns
   */
  static open<Column extends string>(folder: string, columns: readonly Column[]): MetricsLog<Column> {
    const log = MetricsLog.#open(folder, columns, AppendedFile.open);
    const expected = header(columns);
    if (log.#table.start(expected.length) === expected) return log;
    log.close();
    throw new DataError(`${join(folder, "metrics.csv")}: expected the columns ${expected.trimEnd()}`);
  }

  static #open<Column extends string>(
    folder: string,
    columns: readonly Column[],
    open: (path: string) => AppendedFile,
  ) {
    const lines = open(join(folder, "metrics.jsonl"));
    try {
      return new MetricsLog(columns, lines, open(join(folder, "metrics.csv")));
    } catch (error) {
      lines.close();
      throw error;
    }
  }

  /** Follows its folder to another name. */
  moved(folder: string): void {
    this.#lines.path = join(folder, "metrics.jsonl");
    this.#table.path = join(folder, "metrics.csv");
  }

  /** Where the next line will stand. */
  get position(): MetricsPosition {
    return { lines: this.#lines.bytes, table: this.#table.bytes };
  }

  /** @throws DataError when the files do not have a line that ends at a position */
  requirePosition({ lines, table }: MetricsPosition): void {
    this.#lines.requireLineEnd(lines);
    this.#table.requireLineEnd(table);
  }

  /**
   * Takes back every line after a position; null takes back all. Files of another process are copied up to there and the
   * copies put in their place: should that process live, what it still writes is in files without a name.
   * @param permitted is awaited before a copy takes its place, and throws where it may not
   * @throws DataError when the files do not have a line that ends there, or the disk refuses
   */
  async rewind(
    position: MetricsPosition | null,
    permitted: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    const { lines, table } = position ?? { lines: 0, table: header(this.#columns).length };
    this.requirePosition({ lines, table });
    await this.#lines.rewind(lines, permitted);
    await this.#table.rewind(table, permitted);
  }

  /** @throws DataError when the disk refuses; GhostbatchError for a column that was not declared */
  append(row: MetricRow<Column>): void {
    for (const key of Object.keys(row)) {
      if (!this.#columns.includes(key as Column)) {
        throw new GhostbatchError(
          `metrics: column ${key} was not declared; the columns are ${this.#columns.join(", ")}`,
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

  /**
   * Resolves when all lines are on the disk, under their names.
   * @throws DataError when the disk refuses, or the files are not as this process has written them
   */
  async sync(): Promise<void> {
    await Promise.all([this.#lines.sync(), this.#table.sync()]);
  }

  close(): void {
    this.#lines.close();
    this.#table.close();
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
