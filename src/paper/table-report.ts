/** Cells of Tables 1 and 2 from finished runs: means over seeds, and the JSON that `reproduce … --json` prints. */

import { join } from "node:path";
import type { FinishedRun } from "../run/runner.ts";
import { readJson } from "../storage/run-folder.ts";
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
  /** Mean over the seeds of the best evaluation. */
  readonly best: number;
  /** Null for a method that the paper's table does not have. */
  readonly paper: number | null;
  /** Of one seed; the same for all. */
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
  const { steps, samples, flops } = runs[0]!.summary;
  return {
    row: name,
    column,
    accuracy,
    mean: mean(accuracy),
    std: standardDeviation(accuracy),
    n: runs.length,
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

function cellJson({ row: _, column: __, reused: ___, distanceFirst, distanceAll, ...cell }: Cell) {
  return { ...cell, distance_first: distanceFirst, distance_all: distanceAll };
}

/** The adapter that a run's record names. */
async function adapterOf(folder: string): Promise<string> {
  const record = (await readJson(join(folder, "environment.json"))) as { adapter?: { name?: string } } | null;
  return record?.adapter?.name ?? "unknown";
}
