/** runs/NAME.experiment.json: which run folders make a table or a figure, and what was measured beside them. */
import { DataError } from "../support/errors.ts";

/** Runs of one setting that differ in their seed alone: a cell of a table, a curve of a figure. */
export interface Series {
  readonly name: string;
  /** Row of a table, or panel of a figure. */
  readonly group: string;
  readonly batchSize: number;
  /** What the paper has for it; null where it has nothing. */
  readonly paper: number | null;
  /** Names of the run folders, beside the record. */
  readonly runs: readonly string[];
}

export interface ExperimentRecord {
  readonly format: 1;
  /** table1, figure2, measure-covariance, …: what decides how it is shown. */
  readonly kind: string;
  /** The record's own name: the kind, its scale, and what else tells it apart. */
  readonly id: string;
  readonly title: string;
  readonly command: string;
  /** "small", "full" or a fraction; of a measurement of a run, whose it is. */
  readonly scale: string;
  /** Sentences that belong under the table or the figure: what was reduced, which images, which choices. */
  readonly notes: readonly string[];
  readonly series: readonly Series[];
  /** Numbers that are no run's: plain JSON, as the kind has it. */
  readonly data?: unknown;
}

export const RECORD_SUFFIX = ".experiment.json";

/** @throws DataError for a record that is not one, naming its file */
export function parseRecord(text: string, path: string): ExperimentRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new DataError(`${path}: expected JSON: ${(cause as Error).message}; run the experiment again`, {
      cause,
    });
  }
  const record = value as Partial<ExperimentRecord> | null;
  const strings = ["kind", "id", "title", "command", "scale"] as const;
  if (
    record?.format !== 1 ||
    strings.some((key) => typeof record[key] !== "string") ||
    !Array.isArray(record.series)
  ) {
    throw new DataError(`${path}: is not the record of an experiment in format 1; run the experiment again`);
  }
  return { notes: [], ...record } as ExperimentRecord;
}
