/** runs/NAME.experiment.json: the run folders of a table or a figure, and other measurements. */
import { z } from "zod";
import { isRunName } from "../storage/run-folder.ts";
import { describeFault, parseJson } from "../support/damage.ts";
import { DataError } from "../support/errors.ts";
import { DATA_OF_KIND } from "./measured-data.ts";

/** Runs of one setting that differ only in their seed: a cell of a table, a curve of a figure. */
export interface Series {
  readonly name: string;
  /** Row of a table, or panel of a figure. */
  readonly group: string;
  readonly batchSize: number;
  /** The paper's value; null if it has none. */
  readonly paper: number | null;
  /** Names of the run folders, beside the record. */
  readonly runs: readonly string[];
}

export interface ExperimentRecord {
  readonly format: 1;
  /** table1, figure2, measure-covariance, …; decides how it is shown. */
  readonly kind: string;
  /** The record's name: the kind, its scale, and anything else that distinguishes it. */
  readonly id: string;
  readonly title: string;
  readonly command: string;
  /** "small", "full" or a fraction; for a measurement of a run, the run. */
  readonly scale: string;
  /** Sentences for the caption: what was reduced, which images, which choices. */
  readonly notes: readonly string[];
  readonly series: readonly Series[];
  /** The adapter on which `data` was measured; those of runs are in their folders. */
  readonly adapter?: string | undefined;
  /** Numbers that do not belong to a run: plain JSON, depending on the kind. */
  readonly data?: unknown;
}

export const RECORD_SUFFIX = ".experiment.json";

const text = z.string();
/** The name of a file or folder beside the record, not a path. */
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

/** @throws DataError for an invalid record, naming its file and the first error */
export function parseRecord(content: string, path: string): ExperimentRecord {
  const value = parseJson(content, path, "; run the experiment again");
  const record = Record.safeParse(value);
  if (!record.success) throw notARecord(path, record.error, value);
  const { kind, data } = record.data;
  const schema = Object.hasOwn(DATA_OF_KIND, kind) ? DATA_OF_KIND[kind] : undefined;
  if (schema === undefined) return record.data;
  const measured = schema.safeParse(data);
  if (!measured.success) throw notARecord(`${path}: data`, measured.error, data);
  return { ...record.data, data: measured.data };
}

function notARecord(place: string, { issues }: z.ZodError, value: unknown): DataError {
  return new DataError(
    `${place}: not an experiment record in format 1: ${describeFault(issues, value)}; run the experiment again`,
  );
}
