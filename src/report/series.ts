/** Runs of one setting together: curves of means with bands, and why some cannot be put together. */
import type { MetricNumbers, RunData } from "../storage/read-run.ts";
import { mean, standardDeviation } from "../support/statistics.ts";
import type { Series } from "./experiment-record.ts";

export interface LoadedSeries extends Series {
  /** Finished runs that agree in all but the seed. */
  readonly loaded: readonly RunData[];
}

export interface CurvePoint {
  readonly x: number;
  readonly y: number;
  /** One standard deviation over the runs to each side; y itself for one run. */
  readonly low: number;
  readonly high: number;
}

/** Options by which runs of one setting may differ. */
const FREE = ["seed"];

/** Why the runs must not be averaged: the first option in which they differ; null where they agree. */
export function difference(runs: readonly RunData[]): string | null {
  const [first, ...others] = runs;
  for (const other of others) {
    const keys = new Set([...Object.keys(first!.configuration), ...Object.keys(other.configuration)]);
    for (const key of keys) {
      if (FREE.includes(key)) continue;
      const [a, b] = [JSON.stringify(first!.configuration[key]), JSON.stringify(other.configuration[key])];
      if (a !== b) return `${key} is ${a} in ${first!.name} and ${b} in ${other.name}`;
    }
  }
  return null;
}

/** Mean and spread over runs of one metric against another, at the places that all have. */
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

/** Mean of y over each epoch of training: one point for an epoch, as the paper's training errors are. */
export function byEpoch(run: RunData, y: (row: MetricNumbers) => number): MetricNumbers[] {
  const epochs = new Map<number, number[]>();
  for (const row of run.training) {
    // A step belongs to the epoch that it ends in or before the end of.
    const epoch = Math.ceil((row["epoch"] ?? Number.NaN) - 1e-9);
    const values = epochs.get(epoch) ?? [];
    values.push(y(row));
    epochs.set(epoch, values);
  }
  return [...epochs].map(([epoch, values]) => ({ epoch, value: mean(values) }));
}
