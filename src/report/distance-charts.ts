/** Figure 2: the distance from the start against the iteration, the laws that fit it, and whether it has reached equilibrium. */
import { messageOf } from "../support/errors.ts";
import { type Chart, COMPUTED, curves, type Datum, type Illustration } from "./charts.ts";
import {
  compareLaws,
  type DistanceCurve,
  equilibriumOf,
  LAWS,
  type LawComparison,
  resampleByDecade,
} from "./diffusion-fits.ts";
import type { ExperimentRecord } from "./experiment-record.ts";
import { markdownTable } from "./markdown.ts";
import {
  DISTANCE_WITH_CURES,
  overlayOf,
  PUBLISHED,
  PUBLISHED_SMALL_BATCH,
  publishedDistances,
} from "./published.ts";
import { bandsOf, column, curveOf, type LoadedSeries, measured, toData } from "./series.ts";

interface FittedSeries extends LoadedSeries {
  /** One of each run, at the steps of the fit. */
  readonly distances: readonly DistanceCurve[];
  /** The fit, or why there is none. */
  readonly comparison: LawComparison | string;
}

export function distances(record: ExperimentRecord, loaded: readonly LoadedSeries[]): Illustration {
  const series = loaded.map(fitted);
  const panels = [...new Set(series.map(({ group }) => group))];
  const small = smallBatchOf(series);
  const overlay = overlayOf(record, series);
  const charts = panels.map((panel): Chart => {
    const own = series.filter(({ group }) => group === panel);
    const data = own.flatMap(({ batchSize, loaded }) =>
      toData(multiple(batchSize / small), curveOf(loaded, measured, column("step"), column("distanceFirst"))),
    );
    const fits = own.flatMap((entry) => bestFit(multiple(entry.batchSize / small), entry));
    const published = publishedPanel(panel).flatMap(({ batchSize, step, distance }) =>
      step.map((x, i) => ({
        series: multiple(batchSize / PUBLISHED_SMALL_BATCH),
        source: PUBLISHED,
        x,
        y: distance[i]!,
      })),
    );
    const title =
      panel === "a" ? "(a) without the remedies" : "(b) learning rate × √(B / small batch), ghost batch norm";
    const spec = curves([...data, ...fits, ...(overlay.drawn ? published : [])], {
      title,
      x: { title: "iteration", log: true },
      y: { title: "‖w − w₀‖ of the first parameter", zero: true },
      series: own.map(({ batchSize }) => multiple(batchSize / small)),
      legend: "batch / small batch",
      ordered: true,
    });
    const caption = `${bandsOf(own, "Bands")} Dotted: the law with the lowest AICc, over the steps it was fitted to. ${overlay.caption}`;
    return { name: `distance-${panel}`, title, spec, caption };
  });
  return { charts, text: fitTable(series) };
}

function fitted(series: LoadedSeries): FittedSeries {
  const distances = series.loaded.map(distanceCurve);
  try {
    return { ...series, distances, comparison: compareLaws(distances) };
  } catch (error) {
    return { ...series, distances, comparison: messageOf(error) };
  }
}

function bestFit(name: string, { distances, comparison }: FittedSeries): Datum[] {
  if (typeof comparison === "string") return [];
  const { at } = comparison.fits[0]!;
  return distances[0]!.step.map((x) => ({ series: name, source: COMPUTED, x, y: at(x) }));
}

/** The paper's six sizes start at half its small batch, and so do ours. */
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

/** Fits omit steps before the second epoch: there are few, and the first ones are clipped. */
const EPOCHS_BEFORE_FIT = 2;

function distanceCurve(run: LoadedSeries["loaded"][number]): DistanceCurve {
  const rows = measured(run);
  const perEpoch = run.training.find(({ epoch }) => epoch! >= 1)?.["step"] ?? 1;
  const curve = { step: rows.map(column("step")), distance: rows.map(column("distanceFirst")) };
  return resampleByDecade(curve, EPOCHS_BEFORE_FIT * perEpoch);
}

/** The laws that fit each curve, in Markdown. */
function fitTable(series: readonly FittedSeries[]): string[] {
  const most = Math.max(...series.map(({ loaded }) => loaded.length));
  const head = [
    "curve",
    "n",
    "plausible laws",
    `ΔAICc ${LAWS.join(", ")}`,
    `R² ${LAWS.join(", ")}`,
    "b of a + b ln t",
    "p of c·t^p",
    "α = 2/q of k·(ln t)^q",
    "a, τ, p of a(1 − exp(−(t/τ)^p))",
    "end / a",
    "late / early slope",
  ];
  const rows = series.map(({ name, group, loaded, distances, comparison }) => {
    const start = [`(${group}) ${name}`, String(loaded.length)];
    if (typeof comparison === "string") return [...start, comparison, ...head.slice(3).map(() => "")];
    return [...start, ...fitCells(comparison, distances)];
  });
  const seeds =
    most > 1
      ? "95 % intervals from a moving-block bootstrap over points, nested in a resampling of seeds"
      : "95 % intervals from a moving-block bootstrap over the points of one run; they do not cover differences between seeds";
  return [
    `Laws of the distance d of the first parameter, from the end of the second epoch on, 12 points per decade; ${seeds}. Laws within 2 of the lowest AICc cannot be distinguished.`,
    "",
    ...markdownTable(head, rows),
    "",
    "Equilibrium: “end / a” is the last distance divided by the level of the saturating law; “late / early slope” is the slope in ln t over the last third of the fitted ln t divided by the slope over the rest. Values near 1 and near 0 mean that the distance has stopped growing. Whether weight decay is the reason, only runs with `--weight-decay 0` can show.",
  ];
}

function fitCells(
  { fits, plausible, slope, power, alpha }: LawComparison,
  distances: readonly DistanceCurve[],
): string[] {
  const range = ({ value, low, high }: { value: number; low: number; high: number }) =>
    `${value.toFixed(2)} [${low.toFixed(2)}, ${high.toFixed(2)}]`;
  const byLaw = LAWS.map((law) => fits.find((fit) => fit.law === law)!);
  const { a, tau, p } = byLaw[LAWS.indexOf("saturating")]!.parameters;
  const { reached, slopes } = equilibriumOf(distances, a!);
  return [
    plausible.join(", "),
    byLaw.map(({ aicc }) => (aicc - fits[0]!.aicc).toFixed(1)).join(", "),
    byLaw.map(({ r2 }) => r2.toFixed(3)).join(", "),
    range(slope),
    range(power),
    range(alpha),
    [a!, tau!, p!].map((value) => value.toPrecision(3)).join(", "),
    reached.toFixed(2),
    slopes.toFixed(2),
  ];
}
