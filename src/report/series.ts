/** Combines runs of one setting: curves of means with bands, and why some cannot be combined. */
import type { MetricNumbers, RunData } from "../storage/read-run.ts";
import { mean, standardDeviation } from "../support/statistics.ts";
import { type Datum, OURS } from "./charts.ts";
import type { Series } from "./experiment-record.ts";

export interface LoadedSeries extends Series {
  /** Finished runs that differ only in the seed. */
  readonly loaded: readonly RunData[];
}

export interface CurvePoint {
  readonly x: number;
  readonly y: number;
  /** One standard deviation over the runs to each side; y itself for a single run. */
  readonly low: number;
  readonly high: number;
}

/** Runs that differ only in the seed, without an experiment. */
export interface RunGroup {
  /** For legends. */
  readonly name: string;
  readonly loaded: readonly RunData[];
  /** The scale of their experiment; null if unknown. */
  readonly scale: string | null;
  readonly paper: number | null;
}

/** Steps at which the distance from the start was measured. */
export function measured({ training }: RunData): MetricNumbers[] {
  return training.filter(({ distanceFirst }) => Number.isFinite(distanceFirst));
}

export const column = (name: string) => (row: MetricNumbers) => row[name] ?? Number.NaN;

/** Mean and spread over runs of one metric against another, at the points that all runs have. */
export function curveOf(
  runs: readonly RunData[],
  rows: (run: RunData) => readonly MetricNumbers[],
  x: (row: MetricNumbers) => number,
  y: (row: MetricNumbers) => number,
): CurvePoint[] {
  const maps = runs.map((run) => {
    const points = rows(run).map((row): [number, number] => [x(row), y(row)]);
    return new Map(points.filter(([at]) => Number.isFinite(at)));
  });
  const places = [...(maps[0]?.keys() ?? [])].filter((at) => maps.every((map) => map.has(at)));
  return places.map((at) => {
    const values = maps.map((map) => map.get(at)!);
    const center = mean(values);
    const spread = standardDeviation(values);
    return { x: at, y: center, low: center - spread, high: center + spread };
  });
}

/** The curve for a chart: missing numbers are gaps. */
export function toData(name: string, points: readonly CurvePoint[]): Datum[] {
  return points.map(({ x, y, low, high }) => ({
    series: name,
    source: OURS,
    x,
    y: Number.isFinite(y) ? y : null,
    ...(Number.isFinite(low) && { low, high }),
  }));
}

/** Explains bands or error bars, for a caption. */
export function bandsOf(series: readonly { readonly loaded: readonly RunData[] }[], bands: string): string {
  const counts = series.map(({ loaded }) => loaded.length).filter((n) => n > 0);
  const [fewest, most] = [Math.min(...counts), Math.max(...counts)];
  if (counts.length === 0 || most === 1) return "One seed each, so the spread over seeds is unknown.";
  const n = fewest === most ? `${most}` : `${fewest} to ${most}`;
  return `${bands}: mean ± 1 standard deviation over n = ${n} seeds.`;
}

/** Mean of y over each epoch of training: one point per epoch, as for the paper's training errors. */
export function byEpoch(run: RunData, y: (row: MetricNumbers) => number): MetricNumbers[] {
  const epochs = new Map<number, number[]>();
  for (const row of run.training) {
    // A step belongs to the epoch in which it ends, or at whose end.
    const epoch = Math.ceil((row["epoch"] ?? Number.NaN) - 1e-9);
    const values = epochs.get(epoch) ?? [];
    values.push(y(row));
    epochs.set(epoch, values);
  }
  return [...epochs].map(([epoch, values]) => ({ epoch, value: mean(values) }));
}
