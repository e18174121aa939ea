/** Table 1's cells from finished runs: means over seeds, and the JSON that `reproduce table1 --json` prints. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { FinishedRun } from "./runner.ts";
import { type Column, ROWS, type Scale } from "./table1.ts";

export interface Cell {
  readonly row: string;
  readonly column: Column;
  /** Final accuracy of each seed, percent. */
  readonly accuracy: readonly number[];
  readonly mean: number;
  /** Standard deviation over the seeds (n − 1 in the denominator), 0 for one. */
  readonly std: number;
  readonly n: number;
  /** Mean over the seeds of the best evaluation. */
  readonly best: number;
  readonly paper: number;
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

export function cellOf(row: string, column: Column, runs: readonly FinishedRun[]): Cell {
  const of = (value: (run: FinishedRun) => number) => runs.map(value);
  const accuracy = of(({ summary }) => summary.accuracy);
  const { steps, samples, flops } = runs[0]!.summary;
  return {
    row,
    column,
    accuracy,
    mean: mean(accuracy),
    std: standardDeviation(accuracy),
    n: runs.length,
    best: mean(of(({ summary }) => summary.best)),
    paper: ROWS[row]!.paper[column],
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

export async function table1Json(scale: Scale, cells: readonly Cell[]) {
  const names = [...new Set(cells.map(({ row }) => row))];
  const adapters = new Set(await Promise.all(cells.flatMap(({ folders }) => folders).map(adapterOf)));
  return {
    scale,
    adapter: [...adapters].join("; "),
    rows: names.map((name) => ({
      network: ROWS[name]!.network,
      dataset: ROWS[name]!.dataset,
      cells: Object.fromEntries(cells.filter(({ row }) => row === name).map((cell) => [cell.column, cellJson(cell)])),
    })),
  };
}

function cellJson({ accuracy, mean, std, n, best, paper, steps, samples, flops, seconds, distanceFirst, distanceAll, folders }: Cell) {
  const distances = { distance_first: distanceFirst, distance_all: distanceAll };
  return { accuracy, mean, std, n, best, paper, steps, samples, flops, seconds, ...distances, folders };
}

/** The adapter that a run's record names. */
async function adapterOf(folder: string): Promise<string> {
  const record = JSON.parse(await readFile(join(folder, "environment.json"), "utf8")) as { adapter?: { name?: string } };
  return record.adapter?.name ?? "unknown";
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
}
