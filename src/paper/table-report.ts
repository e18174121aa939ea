/** Cells of Tables 1 and 2 from finished runs: means over seeds, and the JSON that `reproduce … --json` prints. */

import { join } from "node:path";
import { MUCH_RETAINED } from "../run/run-warnings.ts";
import type { FinishedRun } from "../run/runner.ts";
import { readJson } from "../storage/run-folder.ts";
import { formatPercent } from "../support/format.ts";
import { mean, standardDeviation } from "../support/statistics.ts";
import { COLUMNS, type Column, type Method, type Row } from "./columns.ts";
import type { Scale } from "./scale.ts";

export interface Cell {
  readonly row: string;
  readonly column: Method;
  /** Final accuracy of each seed, percent. */
  readonly accuracy: readonly number[];
  readonly mean: number;
  /** Standard deviation over the seeds (n − 1 in the denominator), 0 for one. */
  readonly std: number;
  readonly n: number;
  /** The same with running statistics re-estimated on training batches; null for runs without that. */
  readonly reestimated: {
    readonly accuracy: readonly number[];
    readonly mean: number;
    readonly std: number;
  } | null;
  /** Fraction of the initial running statistics left at the end, for one seed; null if unknown. */
  readonly retainedStatistics: number | null;
  /** Mean over the seeds of the best evaluation. */
  readonly best: number;
  /** Null for a method that is not in the paper's table. */
  readonly paper: number | null;
  /** For one seed; the same for all. */
  readonly steps: number;
  readonly samples: number;
  readonly flops: number;
  /** Means over the seeds. */
  readonly seconds: number;
  readonly distanceFirst: number;
  readonly distanceAll: number;
  readonly folders: readonly string[];
  readonly reused: boolean;
}

export function paperValue(row: Row, method: Method): number | null {
  return (COLUMNS as readonly Method[]).includes(method) ? row.paper[method as Column] : null;
}

export function cellOf(name: string, row: Row, column: Method, runs: readonly FinishedRun[]): Cell {
  const of = (value: (run: FinishedRun) => number) => runs.map(value);
  const accuracy = of(({ summary }) => summary.accuracy);
  const reestimated = runs.flatMap(({ summary }) => summary.reestimatedAccuracy ?? []);
  const { steps, samples, flops, retainedStatistics = null } = runs[0]!.summary;
  return {
    row: name,
    column,
    accuracy,
    mean: mean(accuracy),
    std: standardDeviation(accuracy),
    n: runs.length,
    reestimated:
      reestimated.length === runs.length
        ? { accuracy: reestimated, mean: mean(reestimated), std: standardDeviation(reestimated) }
        : null,
    retainedStatistics,
    best: mean(of(({ summary }) => summary.best)),
    paper: paperValue(row, column),
    steps,
    samples,
    flops,
    seconds: mean(of(({ summary }) => summary.seconds)),
    distanceFirst: mean(of(({ summary }) => summary.distanceFirst)),
    distanceAll: mean(of(({ summary }) => summary.distanceAll)),
    folders: runs.map(({ folder }) => folder),
    reused: runs.every(({ reused }) => reused),
  };
}

/** Notes on the running statistics of these cells, one sentence each. */
export function statisticsNotes(cells: readonly Cell[], reestimateStatistics: number): string[] {
  const most = Math.max(0, ...cells.map(({ retainedStatistics }) => retainedStatistics ?? 0));
  const notes: string[] = [];
  if (reestimateStatistics > 0)
    notes.push(
      `re-estimated: accuracy with running statistics replaced by their mean over ${reestimateStatistics} training batches, with the same weights`,
    );
  if (most > MUCH_RETAINED)
    notes.push(
      "initial statistics left: the share (1 − a)^updates of the initial running statistics, mean 0 and variance 1, that is left at the end; " +
        `above ${formatPercent(MUCH_RETAINED, 0)}, differences between columns such as +LR and +GBN partly reflect the number of updates` +
        (reestimateStatistics > 0 ? "" : " (--reestimate-statistics adds a column without them)"),
    );
  return notes;
}

export async function tableJson(scale: Scale, rows: Readonly<Record<string, Row>>, cells: readonly Cell[]) {
  const names = [...new Set(cells.map(({ row }) => row))];
  const adapters = new Set(await Promise.all(cells.flatMap(({ folders }) => folders).map(adapterOf)));
  return {
    scale,
    adapter: [...adapters].join("; "),
    rows: names.map((name) => ({
      network: rows[name]!.network,
      dataset: rows[name]!.dataset,
      cells: Object.fromEntries(
        cells.filter(({ row }) => row === name).map((cell) => [cell.column, cellJson(cell)]),
      ),
    })),
  };
}

function cellJson(whole: Cell) {
  const { row: _, column: __, reused: ___, distanceFirst, distanceAll, retainedStatistics, ...cell } = whole;
  return {
    ...cell,
    retained_statistics: retainedStatistics,
    distance_first: distanceFirst,
    distance_all: distanceAll,
  };
}

/** The adapter in a run's record. */
async function adapterOf(folder: string): Promise<string> {
  const record = (await readJson(join(folder, "environment.json"))) as { adapter?: { name?: string } } | null;
  return record?.adapter?.name ?? "unknown";
}
