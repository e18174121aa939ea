// A run's metrics as they arrive, as JSON lines and as CSV, with the same columns.

import { join } from "node:path";
import { DataError, GhostbatchError } from "../support/errors.ts";
import { AppendedFile } from "./appended-file.ts";

export type MetricValue = number | string | boolean | null;

/** One line: values for some of the columns. The others are null in JSON and empty in CSV. */
export type MetricRow<Column extends string = string> = Readonly<Partial<Record<Column, MetricValue>>>;

/** Bytes of metrics.jsonl and of metrics.csv, up to the end of some line. */
export interface MetricsPosition {
  readonly lines: number;
  readonly table: number;
}

/**
 * metrics.jsonl and metrics.csv of a folder. When `append` returns, the operating system has the line, so a
 * killed process loses none; a row that does not fit on the disk is removed from both files.
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
   * Creates both files.
   * @param columns all columns that a row may have, in the order of the CSV
   * @throws DataError if a file already exists or cannot be written
   */
  static create<Column extends string>(folder: string, columns: readonly Column[]): MetricsLog<Column> {
    const log = MetricsLog.#open(folder, columns, AppendedFile.create);
    log.#table.append(header(columns));
    return log;
  }

  /**
   * Opens files that another process has left; `rewind` takes them over.
   * @throws DataError if one is missing or has other columns
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

  /** Updates the paths after the folder has been renamed. */
  moved(folder: string): void {
    this.#lines.path = join(folder, "metrics.jsonl");
    this.#table.path = join(folder, "metrics.csv");
  }

  /** Position of the next line. */
  get position(): MetricsPosition {
    return { lines: this.#lines.bytes, table: this.#table.bytes };
  }

  /** @throws DataError when the files do not have a line that ends at a position */
  requirePosition({ lines, table }: MetricsPosition): void {
    this.#lines.requireLineEnd(lines);
    this.#table.requireLineEnd(table);
  }

  /**
   * Removes every line after a position; null removes all. Files of another process are replaced by copies up to that
   * position, so if that process is still alive, it writes to files without a name.
   * @param permitted is awaited before a file is replaced, and throws if it must not be
   * @throws DataError if no line ends at the position, or writing fails
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

  /** @throws DataError if writing fails; GhostbatchError for an undeclared column */
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
      // If the disk has just become full, the start of a line may have been written.
      for (const [i, file] of files.entries()) file.cut(before[i]);
      throw error;
    }
  }

  /**
   * Resolves when all lines are on disk, under their names.
   * @throws DataError if that fails, or if the files are not as this process has written them
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

/** JSON has no non-finite numbers; as text they survive in both formats. */
function storable(value: MetricValue): MetricValue {
  return typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
}

/** One field, as in RFC 4180: quoted if it has a comma, a quote or a line break. */
function csvCell(value: MetricValue): string {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
