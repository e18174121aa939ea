/** Charts of runs without an experiment: loss, accuracy, learning rate and distance against the step; runs that differ only in the seed are averaged. */
import type { MetricNumbers, RunData } from "../storage/read-run.ts";
import { type Axis, type Chart, curves, type Datum, type Illustration } from "./charts.ts";
import { bandsOf, column, curveOf, measured, type RunGroup, toData } from "./series.ts";

export function illustrateRuns(groups: readonly RunGroup[]): Illustration {
  const bands = bandsOf(groups, "Bands");
  const of = (rows: (run: RunData) => readonly MetricNumbers[], y: string) =>
    groups.flatMap(({ name, loaded }) => toData(name, curveOf(loaded, rows, column("step"), column(y))));
  const chart = (
    { name, title, caption }: Omit<Chart, "spec">,
    data: readonly Datum[],
    y: string,
    axes: { x?: Omit<Axis, "title">; y?: Omit<Axis, "title"> } = {},
  ): Chart[] => {
    if (data.every((datum) => datum.y === null)) return [];
    const spec = curves(data, {
      title,
      x: { title: "step", ...axes.x },
      y: { title: y, ...axes.y },
      series: groups.map((group) => group.name),
      legend: groups.some(({ loaded }) => loaded.length > 1) ? "runs" : "run",
    });
    return [{ name, title, spec, caption }];
  };
  const charts = [
    ...chart(
      {
        name: "loss",
        title: "Training loss",
        caption: `Running mean of the batches' losses over the last ${100 * SMOOTHED_PART} % of the run's steps. ${bands}`,
      },
      of(({ training }) => thinned(smoothed(training, "loss")), "loss"),
      "cross-entropy",
      { y: { log: true } },
    ),
    ...chart(
      { name: "test-accuracy", title: "Test accuracy", caption: bands },
      of(({ evaluations }) => evaluations, "testAccuracy"),
      "test accuracy (%)",
      { y: { most: 100 } },
    ),
    ...chart(
      { name: "learning-rate", title: "Learning rate", caption: "The value that each step used." },
      of(({ training }) => thinned(training), "learningRate"),
      "learning rate",
      { y: { log: true } },
    ),
    ...chart(
      { name: "distance", title: "Distance from the start", caption: bands },
      of(measured, "distanceAll"),
      "‖w − w₀‖ of all parameters",
      { x: { log: true }, y: { zero: true } },
    ),
  ];
  return { charts, text: [] };
}

/** Losses of single batches scatter; a mean over this many rows smooths them and keeps every feature of a run. */
const SMOOTHED_PART = 0.02;

/** Running mean of a column over the last rows that have a number; a row without one remains a gap. */
function smoothed(rows: readonly MetricNumbers[], name: string): MetricNumbers[] {
  const window = Math.max(1, Math.round(SMOOTHED_PART * rows.length));
  const last: number[] = [];
  return rows.map((row) => {
    const value = column(name)(row);
    if (!Number.isFinite(value)) return row;
    last.push(value);
    if (last.length > window) last.shift();
    return { ...row, [name]: last.reduce((sum, one) => sum + one, 0) / last.length };
  });
}

/** The most points that a chart of this width can show; every step of a long run would take megabytes. */
const SHOWN_POINTS = 1500;

function thinned(rows: readonly MetricNumbers[]): readonly MetricNumbers[] {
  const every = Math.ceil(rows.length / SHOWN_POINTS);
  // Rows without a number are kept, so that gaps remain.
  return every <= 1
    ? rows
    : rows.filter((row, i) => i % every === 0 || i === rows.length - 1 || !Number.isFinite(row["loss"]));
}
