/** runs/NAME.experiment.json: which run folders make a table or a figure, and what was measured beside them. */
import { z } from "zod";
import { isRunName } from "../storage/run-folder.ts";
import { DataError, messageOf } from "../support/errors.ts";
import { DATA_OF_KIND } from "./measured-data.ts";

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
  /** Where `data` was measured; the adapters of runs are in their folders. */
  readonly adapter?: string | undefined;
  /** Numbers that are no run's: plain JSON, as the kind has it. */
  readonly data?: unknown;
}

export const RECORD_SUFFIX = ".experiment.json";

const text = z.string();
/** Of a file or a folder beside the record, and of nothing elsewhere. */
const fileName = text.refine(isRunName, "expected a name of letters, digits and . _ - + = @ ,");
const SeriesOfRecord = z.looseObject({
  name: text,
  group: text,
  batchSize: z.number(),
  paper: z.number().nullable(),
  runs: z.array(fileName),
});
const Adapter = z.looseObject({ name: text }).transform(({ name }) => name);
const Record = z.looseObject({
  format: z.literal(1),
  kind: text,
  id: fileName,
  title: text,
  command: text,
  scale: text,
  notes: z.array(text).default([]),
  series: z.array(SeriesOfRecord),
  adapter: z.union([text, Adapter]).optional(),
});

/** @throws DataError for a record that is not one, naming its file and the first thing that is wrong */
export function parseRecord(content: string, path: string): ExperimentRecord {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch (cause) {
    throw new DataError(`${path}: expected JSON: ${messageOf(cause)}; run the experiment again`, {
      cause,
    });
  }
  const record = Record.safeParse(value);
  if (!record.success) throw notARecord(path, record.error);
  const { kind, data } = record.data;
  const schema = Object.hasOwn(DATA_OF_KIND, kind) ? DATA_OF_KIND[kind] : undefined;
  if (schema === undefined) return record.data;
  const measured = schema.safeParse(data);
  if (!measured.success) throw notARecord(`${path}: data`, measured.error);
  return { ...record.data, data: measured.data };
}

function notARecord(place: string, { issues }: z.ZodError): DataError {
  const { path, message } = issues[0]!;
  const where = path.length === 0 ? "" : `${path.join(".")}: `;
  return new DataError(
    `${place}: not an experiment record in format 1: ${where}${message}; run the experiment again`,
  );
}
