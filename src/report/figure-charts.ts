/** The charts of each kind of experiment, from its record and its runs. */
import type { MetricNumbers } from "../storage/read-run.ts";
import { type Chart, curves, type Datum, type Illustration, OURS } from "./charts.ts";
import { distances } from "./distance-charts.ts";
import { type Dot, dots } from "./dots.ts";
import type { ExperimentRecord } from "./experiment-record.ts";
import type {
  CovarianceData,
  DirectionData,
  NoiseScaleData,
  RatioData,
  SharpnessData,
} from "./measured-data.ts";
import { covariance, directions, gradientRatio, noiseScale, sharpness } from "./measurement-charts.ts";
import { overlayOf, PUBLISHED, VALIDATION_ERROR } from "./published.ts";
import { bandsOf, byEpoch, column, curveOf, type LoadedSeries, toData } from "./series.ts";

const error = (name: string) => (row: MetricNumbers) => 100 - (row[name] ?? Number.NaN);

export function illustrate(record: ExperimentRecord, series: readonly LoadedSeries[]): Illustration {
  const { kind, data } = record;
  if (kind === "table1" || kind === "table2") return accuracies(record, series);
  if (kind === "figure1") return figure1(record, series);
  if (kind === "figure2") return distances(record, series);
  if (kind === "figure3") return figure3(series);
  if (kind === "figure4" || kind === "measure-directions") return directions(record, data as DirectionData[]);
  if (kind === "measure-covariance") return covariance(data as CovarianceData[]);
  if (kind === "measure-ratio") return gradientRatio(data as RatioData);
  if (kind === "measure-noise-scale") return noiseScale(data as NoiseScaleData);
  if (kind === "measure-sharpness") return sharpness(data as SharpnessData[]);
  return { charts: [], text: data === undefined ? [] : ["```json", JSON.stringify(data, null, 2), "```"] };
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
  const caption = `${bandsOf(series, "Error bars")} Each network has its own axis, which does not start at 0.`;
  const chart = { name: "accuracy", title: record.title, spec, caption };
  return { charts: data.length === 0 ? [] : [chart], text: [] };
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
  const overlay = overlayOf(record, series);
  const published = VALIDATION_ERROR.flatMap(({ batchSize, from, to, error }) =>
    overlay.drawn && names.includes(`b=${batchSize}`)
      ? [from, to, null].map((x) => ({
          series: `b=${batchSize}`,
          source: PUBLISHED,
          x: x ?? to,
          y: x === null ? null : error,
        }))
      : [],
  );
  const options = { x: { title: "epoch" }, series: names, legend: "batch size", ordered: true };
  const bands = bandsOf(series, "Bands");
  const medians = overlay.drawn
    ? "Dashed: the published medians over epochs 20–40, 60–80 and 84–100."
    : overlay.caption;
  const chart = (
    { name, title, caption }: Omit<Chart, "spec">,
    data: readonly Datum[],
    y: string,
  ): Chart => ({
    name,
    title,
    caption,
    // A linear axis from 0: training errors reach 0, which has no logarithm.
    spec: curves(data, { ...options, title, y: { title: y, zero: true } }),
  });
  return {
    charts: [
      chart(
        {
          name: "training-error",
          title: "(a) training error",
          caption: `Mean over the batches of each epoch. ${bands}`,
        },
        training,
        "training error (%)",
      ),
      chart(
        { name: "validation-error", title: "(b) validation error", caption: `${bands} ${medians}` },
        [...validation, ...published],
        "validation error (%)",
      ),
    ],
    text: [],
  };
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
  const chart = { name: "validation-error", title, spec, caption: bandsOf(series, "Bands") };
  return { charts: data.length === 0 ? [] : [chart], text: [] };
}
