/** The charts of each kind of experiment, from its record and its runs. */
import type { MetricNumbers, RunData } from "../storage/read-run.ts";
import { messageOf } from "../support/errors.ts";
import { type Chart, curves, type Datum, type Dot, dots, type Illustration, OURS } from "./charts.ts";
import { compareLaws, type DistanceCurve, type LawComparison, resampleByDecade } from "./diffusion-fits.ts";
import type { ExperimentRecord } from "./experiment-record.ts";
import type { DirectionData } from "./measured-data.ts";
import { type CovarianceData, covariance, directions } from "./measurement-charts.ts";
import {
  DISTANCE_WITH_CURES,
  PUBLISHED,
  PUBLISHED_SMALL_BATCH,
  publishedDistances,
  VALIDATION_ERROR,
} from "./published.ts";
import { byEpoch, curveOf, type LoadedSeries } from "./series.ts";

const column = (name: string) => (row: MetricNumbers) => row[name] ?? Number.NaN;
const error = (name: string) => (row: MetricNumbers) => 100 - (row[name] ?? Number.NaN);

export function illustrate(record: ExperimentRecord, series: readonly LoadedSeries[]): Illustration {
  const { kind } = record;
  if (kind === "table1" || kind === "table2") return accuracies(record, series);
  if (kind === "figure1") return figure1(record, series);
  if (kind === "figure2") return figure2(series);
  if (kind === "figure3") return figure3(series);
  if (kind === "figure4" || kind === "measure-directions")
    return directions(record.data as DirectionData[], kind === "figure4");
  if (kind === "measure-covariance") return covariance(record.data as CovarianceData[]);
  return {
    charts: [],
    text: record.data === undefined ? [] : ["```json", JSON.stringify(record.data, null, 2), "```"],
  };
}

function accuracies(record: ExperimentRecord, series: readonly LoadedSeries[]): Illustration {
  const data = series.flatMap(({ name: category, group, paper, loaded }): Dot[] => {
    const points = curveOf(
      loaded,
      ({ summary }) => [summary!],
      () => 0,
      column("accuracy"),
    );
    const ours = points.map(({ y, low, high }) => ({ group, category, source: OURS, y, low, high }));
    return paper === null ? ours : [...ours, { group, category, source: "paper (full scale)", y: paper }];
  });
  const distinct = <K extends "name" | "group">(key: K) => [...new Set(series.map((entry) => entry[key]))];
  const spec = dots(data, {
    title: record.title,
    y: { title: "test accuracy (%)" },
    categories: distinct("name"),
    groups: distinct("group"),
  });
  return { charts: data.length === 0 ? [] : [{ name: "accuracy", title: record.title, spec }], text: [] };
}

function toData(name: string, points: ReturnType<typeof curveOf>): Datum[] {
  return points.map(({ x, y, low, high }) => ({
    series: name,
    source: OURS,
    x,
    y: Number.isFinite(y) ? y : null,
    ...(Number.isFinite(low) && { low, high }),
  }));
}

function figure1(record: ExperimentRecord, series: readonly LoadedSeries[]): Illustration {
  const names = series.map(({ name }) => name);
  const training = series.flatMap(({ name, loaded }) =>
    toData(
      name,
      curveOf(loaded, (run) => byEpoch(run, error("accuracy")), column("epoch"), column("value")),
    ),
  );
  const validation = series.flatMap(({ name, loaded }) =>
    toData(
      name,
      curveOf(loaded, ({ evaluations }) => evaluations, column("epoch"), error("testAccuracy")),
    ),
  );
  // The published medians are of ResNet44 at full scale; beside another network they would mean nothing.
  const published =
    record.scale === "small"
      ? []
      : VALIDATION_ERROR.flatMap(({ batchSize, from, to, error }) =>
          names.includes(`b=${batchSize}`)
            ? [from, to, null].map((x) => ({
                series: `b=${batchSize}`,
                source: PUBLISHED,
                x: x ?? to,
                y: x === null ? null : error,
              }))
            : [],
        );
  const options = { x: { title: "epoch" }, series: names, legend: "batch size", ordered: true };
  const chart = (name: string, title: string, data: readonly Datum[], y: string): Chart => ({
    name,
    title,
    // An axis from 0: training errors get there, where a logarithm cannot follow.
    spec: curves(data, { ...options, title, y: { title: y, zero: true } }),
  });
  return {
    charts: [
      chart("training-error", "(a) training error", training, "training error (%), mean of the epoch"),
      chart(
        "validation-error",
        "(b) validation error",
        [...validation, ...published],
        "validation error (%)",
      ),
    ],
    text: [],
  };
}

function figure2(series: readonly LoadedSeries[]): Illustration {
  const panels = [...new Set(series.map(({ group }) => group))];
  const small = smallBatchOf(series);
  const charts = panels.map((panel): Chart => {
    const own = series.filter(({ group }) => group === panel);
    const data = own.flatMap(({ batchSize, loaded }) =>
      toData(multiple(batchSize / small), curveOf(loaded, measured, column("step"), column("distanceFirst"))),
    );
    const published = publishedPanel(panel).flatMap(({ batchSize, step, distance }) =>
      step.map((x, i) => ({
        series: multiple(batchSize / PUBLISHED_SMALL_BATCH),
        source: PUBLISHED,
        x,
        y: distance[i]!,
      })),
    );
    const title =
      panel === "a" ? "(a) without the cures" : "(b) learning rate × √(B / small batch), ghost batch norm";
    const spec = curves([...data, ...published], {
      title,
      x: { title: "iteration", log: true },
      y: { title: "‖w − w₀‖ of the first parameter" },
      series: own.map(({ batchSize }) => multiple(batchSize / small)),
      legend: "batch / small batch",
      ordered: true,
    });
    return { name: `distance-${panel}`, title, spec };
  });
  return { charts, text: fitTable(series) };
}

function measured({ training }: RunData): MetricNumbers[] {
  return training.filter(({ distanceFirst }) => Number.isFinite(distanceFirst));
}

/** The paper's six sizes go from half its small batch up, and so do ours. */
function smallBatchOf(series: readonly LoadedSeries[]): number {
  return 2 * Math.min(...series.map(({ batchSize }) => batchSize));
}

function multiple(ratio: number): string {
  return ratio >= 1 ? `× ${ratio}` : `× 1/${1 / ratio}`;
}

function publishedPanel(panel: string) {
  if (panel === "a") return publishedDistances();
  return Object.entries(DISTANCE_WITH_CURES).map(([batch, curve]) => ({
    batchSize: Number(batch),
    ...curve,
  }));
}

/** Steps before the second epoch are left out of fits: the first ones are clipped, and few. */
const EPOCHS_BEFORE_FIT = 2;

/** The laws that fit each curve, in Markdown. */
export function fitTable(series: readonly LoadedSeries[]): string[] {
  const rows = series.map(({ name, group, loaded }) => {
    const title = `(${group}) ${name}`;
    try {
      return fitRow(title, compareLaws(loaded.map(distanceCurve)));
    } catch (error) {
      return `| ${title} | ${messageOf(error)} | | | | |`;
    }
  });
  return [
    "Laws of the distance of the first parameter (all from the second epoch on, 12 points a decade; 95 % intervals by a moving-block bootstrap nested in seeds). Laws within 2 of the least AICc are not told apart.",
    "",
    "| curve | plausible laws | slope of a + b ln t | exponent of c·t^p | α = 2/q of k·(ln t)^q | R² log, power, log-power, saturating |",
    "|---|---|---|---|---|---|",
    ...rows,
  ];
}

function distanceCurve(run: RunData): DistanceCurve {
  const rows = measured(run);
  const perEpoch = run.training.find(({ epoch }) => epoch! >= 1)?.["step"] ?? 1;
  const curve = { step: rows.map(column("step")), distance: rows.map(column("distanceFirst")) };
  return resampleByDecade(curve, EPOCHS_BEFORE_FIT * perEpoch);
}

function fitRow(title: string, { fits, plausible, slope, power, alpha }: LawComparison): string {
  const range = ({ value, low, high }: { value: number; low: number; high: number }) =>
    `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
  const r2 = (["log", "power", "log-power", "saturating"] as const).map((law) =>
    fits.find((fit) => fit.law === law)!.r2.toFixed(3),
  );
  return `| ${title} | ${plausible.join(", ")} | ${range(slope)} | ${range(power)} | ${range(alpha)} | ${r2.join(", ")} |`;
}

function figure3(series: readonly LoadedSeries[]): Illustration {
  const data = series.flatMap(({ name, loaded }) =>
    toData(
      name,
      curveOf(loaded, ({ evaluations }) => evaluations, column("step"), error("testAccuracy")),
    ),
  );
  const title = "Validation error with regime adaptation";
  const spec = curves(data, {
    title,
    x: { title: "iteration" },
    y: { title: "validation error (%)" },
    series: series.map(({ name }) => name),
    legend: "batch size",
  });
  return { charts: data.length === 0 ? [] : [{ name: "validation-error", title, spec }], text: [] };
}

/** Runs by themselves: loss, accuracy, learning rate and distance against the step. */
export function illustrateRuns(runs: readonly RunData[]): Illustration {
  const names = runs.map(({ name }) => name);
  const of = (rows: (run: RunData) => readonly MetricNumbers[], y: string) =>
    runs.flatMap((run) => toData(run.name, curveOf([run], rows, column("step"), column(y))));
  const chart = (
    name: string,
    title: string,
    data: readonly Datum[],
    y: string,
    log: { x?: boolean; y?: boolean } = {},
  ): Chart[] =>
    data.some((datum) => datum.y !== null)
      ? [
          {
            name,
            title,
            spec: curves(data, {
              title,
              x: { title: "step", log: log.x ?? false },
              y: { title: y, log: log.y ?? false },
              series: names,
              legend: "run",
            }),
          },
        ]
      : [];
  const training = ({ training }: RunData) => thinned(training);
  return {
    charts: [
      ...chart("loss", "Training loss", of(training, "loss"), "cross-entropy of the batch", { y: true }),
      ...chart(
        "test-accuracy",
        "Test accuracy",
        of(({ evaluations }) => evaluations, "testAccuracy"),
        "test accuracy (%)",
      ),
      ...chart("learning-rate", "Learning rate", of(training, "learningRate"), "learning rate", { y: true }),
      ...chart(
        "distance",
        "Distance from the start",
        of(measured, "distanceAll"),
        "‖w − w₀‖ of all parameters",
        { x: true },
      ),
    ],
    text: [],
  };
}

/** Points that a chart of this width can show; a file of every step of a long run would be megabytes. */
const SHOWN_POINTS = 1500;

function thinned(rows: readonly MetricNumbers[]): readonly MetricNumbers[] {
  const every = Math.ceil(rows.length / SHOWN_POINTS);
  // A gap must stay one: rows that are no numbers are kept.
  return every <= 1
    ? rows
    : rows.filter((row, i) => i % every === 0 || i === rows.length - 1 || !Number.isFinite(row["loss"]));
}
