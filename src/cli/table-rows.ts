/** The rows of a table that can be trained, planned or submitted here, and the runs of each. */
import {
  type Choices,
  cellSpec,
  columnTitle,
  type Method,
  type Row,
  withLargeBatch,
} from "../paper/columns.ts";
import type { Images } from "../paper/images.ts";
import { type Scale, settingsOf } from "../paper/scale.ts";
import { finishedRun } from "../run/runner.ts";
import { DataError } from "../support/errors.ts";
import type { Precision } from "../train/precision.ts";
import { onGpus } from "./emit-slurm.ts";
import type { RequestedRun } from "./request.ts";
import { type ImageFlags, rowImages } from "./row-images.ts";

export type TableKind = "table1" | "table2";

export interface TableFlags extends ImageFlags {
  rows?: string[];
  columns: Method[];
  batch?: string;
  largeBatch?: number;
  seeds: number[];
  choices: Choices;
  reestimateStatistics: number;
  memory?: number;
  precision: Precision;
}

export interface RequestedRow {
  readonly name: string;
  readonly row: Row;
  readonly images: Images;
  /** By columns, then seeds. */
  readonly requests: readonly RequestedRun[];
}

export interface MissingRow {
  readonly name: string;
  readonly reason: string;
}

/**
 * The rows to run, and those without images, which are skipped unless the user named them. Rows whose runs have all finished need none.
 * @throws DataError for a row without images that the user named, or if no row is left
 * @throws UsageError for a large batch that a row cannot have
 */
export async function requestedRows(
  kind: TableKind,
  table: Readonly<Record<string, Row>>,
  flags: TableFlags,
): Promise<{ readonly available: readonly RequestedRow[]; readonly missing: readonly MissingRow[] }> {
  const otherwise = kind === "table1" ? "omit the row with --rows" : undefined;
  const available: RequestedRow[] = [];
  const missing: MissingRow[] = [];
  const rows = selectedRows(table, flags);
  const names = Object.keys(rows);
  const isMnist = (name: string) => table[name]!.scales.full.base.dataset === "mnist";
  const onlyMnist = names.every(isMnist);
  for (const name of names) {
    const row = rows[name]!;
    try {
      // --images is for the other rows, if there are any.
      const own = isMnist(name) && !onlyMnist ? { ...flags, images: undefined } : flags;
      const images = rowImages(row, own, otherwise);
      const requests = onGpus(requestsOf(kind, table[name]!, { name, row, images }, flags), flags);
      if (images.missing !== null && !flags.emit && !flags.dryRun && !(await haveFinished(requests, flags)))
        throw new DataError(images.missing);
      available.push({ name, row, images, requests });
    } catch (error) {
      if (!(error instanceof DataError) || flags.rows !== undefined) throw error;
      missing.push({ name, reason: error.message });
    }
  }
  if (available.length === 0) throw new DataError(missing[0]!.reason);
  return { available, missing };
}

/** The requested rows, with the requested large batch. */
function selectedRows(
  table: Readonly<Record<string, Row>>,
  { rows, largeBatch, scale }: TableFlags,
): Record<string, Row> {
  return Object.fromEntries(
    (rows ?? Object.keys(table)).map((name) => {
      const row = table[name]!;
      return [name, largeBatch === undefined ? row : withLargeBatch(row, largeBatch, scale)];
    }),
  );
}

/** @param own the row with its own large batch */
function requestsOf(
  kind: TableKind,
  own: Row,
  { name, row, images }: Omit<RequestedRow, "requests">,
  { columns, scale, seeds, choices, reestimateStatistics, memory, precision }: TableFlags,
): RequestedRun[] {
  const options = { scale, choices, reestimateStatistics, memory, precision, images: images.dataset };
  return columns.flatMap((column) =>
    seeds.map((seed) => {
      const spec = cellSpec(row, { column, seed, ...options });
      return {
        title: `${row.network} ${columnTitle(column)} seed ${seed}`,
        label: `${kind}-${rowLabel(name, own, scale, spec.batchSize)}-${column}-${scale}`,
        spec,
        images,
        otherwise: "leave out its column with --columns",
      };
    }),
  );
}

/** The row's part of a label, with the batch unless it is one of the row's own: SB is one run, whatever the large batch. */
function rowLabel(name: string, own: Row, scale: Scale, batchSize: number): string {
  const { small, large } = own.scales[settingsOf(scale).base];
  return batchSize === small || batchSize === large ? name : `${name}-${batchSize}`;
}

async function haveFinished(
  requests: readonly RequestedRun[],
  { runsDir }: Pick<TableFlags, "runsDir">,
): Promise<boolean> {
  for (const { spec, label } of requests)
    if ((await finishedRun(spec, label, runsDir)) === null) return false;
  return true;
}
