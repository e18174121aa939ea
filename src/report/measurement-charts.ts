/** Charts and tables of measurements without training: the loss along random directions, the gradient's covariance, … */
import { formatCount } from "../support/format.ts";
import {
  type Chart,
  COMPUTED,
  curves,
  DASHES,
  type Datum,
  type Illustration,
  OURS,
  SOLID,
} from "./charts.ts";
import type { ExperimentRecord } from "./experiment-record.ts";
import { markdownTable } from "./markdown.ts";
import type {
  CovarianceData,
  DirectionData,
  NoiseScaleData,
  RatioData,
  SharpnessData,
} from "./measured-data.ts";
import { LOSS_SPREAD, overlayOf, PUBLISHED } from "./published.ts";

/** The paper's figure goes to about 10; with a shorter range its points would be in a corner. */
const PUBLISHED_RANGE = 10;

export function directions(record: ExperimentRecord, measurements: readonly DirectionData[]): Illustration {
  const overlay = record.kind === "figure4" ? overlayOf(record, []) : null;
  const charts = measurements.map((measurement, i): Chart => {
    const { kind, range, bins, taylorSlope } = measurement;
    const line = (series: string, f: (d: number) => number): Datum[] =>
      bins.map(({ distance: x }) => ({ series, source: COMPUTED, x, y: f(x) }));
    const spread = "spread of L(w) − L(w₀)";
    const taylor = "Taylor: d·√E[(∇L·v)²]";
    const fit = fitOf(measurement);
    const withPublished = overlay?.drawn === true && range >= PUBLISHED_RANGE;
    const data: Datum[] = [
      ...bins.map(({ distance: x, deviation: y }) => ({ series: spread, source: OURS, x, y })),
      ...line(fit.name, fit.at),
      ...line(taylor, (d) => taylorSlope * d),
      ...(withPublished
        ? LOSS_SPREAD.distance.map((x, k) => ({
            series: PUBLISHED,
            source: PUBLISHED,
            x,
            y: LOSS_SPREAD.deviation[k]!,
          }))
        : []),
    ];
    const title = `${kind === "unit" ? "Random directions" : "Directions scaled by tensor"} up to a distance of ${range}`;
    const spec = curves(data, {
      title,
      x: { title: "‖w − w₀‖", log: true },
      y: { title: "√ mean of (L(w) − L(w₀))²", log: true },
      series: [spread, fit.name, taylor, ...(withPublished ? [PUBLISHED] : [])],
      legend: "curve",
      points: true,
      dashes: [SOLID, DASHES[2], DASHES[1], DASHES[3]],
    });
    const count = bins.reduce((sum, { points }) => sum + points, 0);
    const caption = `Each point is the root mean square over the directions whose distance falls in its bin, ${formatCount(count)} in total. ${withPublished ? "" : (overlay?.caption ?? "")}`;
    return { name: `directions-${i + 1}-${kind}-${range}`, title, spec, caption: caption.trim() };
  });
  return { charts, text: directionTable(measurements) };
}

interface FittedSpread {
  readonly name: string;
  /** Null for the power law, which has none. */
  readonly floor: number | null;
  readonly at: (d: number) => number;
}

/**
 * √(floor² + (slope·d)²) or the power law, whichever is nearer in the logarithm; each has two parameters. If the spread bends
 * over at long range, the least-squares floor exceeds the spread at short range, and the power law is nearer.
 */
function fitOf({ bins, floor, slope, exponent }: DirectionData): FittedSpread {
  const logScale =
    bins.reduce((sum, bin) => sum + Math.log(bin.deviation) - exponent * Math.log(bin.distance), 0) /
    bins.length;
  const power: FittedSpread = {
    name: `power law d^${exponent.toFixed(2)}`,
    floor: null,
    at: (d) => Math.exp(logScale) * d ** exponent,
  };
  const floored: FittedSpread = {
    name: "√(floor² + (slope·d)²)",
    floor,
    at: (d) => Math.hypot(floor, slope * d),
  };
  const residual = ({ at }: FittedSpread) =>
    bins.reduce((sum, { distance, deviation }) => sum + Math.log(deviation / at(distance)) ** 2, 0);
  return floor > 0 && residual(floored) < residual(power) ? floored : power;
}

function directionTable(measurements: readonly DirectionData[]): string[] {
  const withError = (value: number, error: number | undefined, digits: (n: number) => string) =>
    `${digits(value)}${error === undefined || !Number.isFinite(error) ? "" : ` ± ${digits(error)}`}`;
  const rows = measurements.map((measurement) => {
    const { kind, range, slope, exponent, exponentError, gradientNorm, taylorSlope, leavesTaylorAt } =
      measurement;
    const { floor } = fitOf(measurement);
    const { curvature, curvatureError } = measurement;
    return [
      kind,
      String(range),
      withError(exponent, exponentError, (n) => n.toFixed(2)),
      floor === null ? "none" : floor.toExponential(1),
      floor === null ? "" : slope.toExponential(2),
      taylorSlope.toExponential(2),
      gradientNorm.toPrecision(3),
      leavesTaylorAt?.toPrecision(2) ?? "nowhere",
      curvature === undefined ? "" : withError(curvature, curvatureError, (n) => n.toExponential(1)),
    ];
  });
  return [
    ...markdownTable(
      [
        "directions",
        "range",
        "exponent of d",
        "floor",
        "slope above it",
        "Taylor slope",
        "‖∇L‖",
        "leaves the Taylor line at",
        "tr(H) / P",
      ],
      rows,
    ),
    "",
    "The loss is computed on the same samples at every point, so its only noise is rounding. A floor at short range is the float32 rounding of a difference of losses; the bend at long range is not a floor.",
    "",
    "Near w₀ every differentiable loss has an exponent of 1, whatever α is. Only where the spread leaves the Taylor line does it say anything about α.",
  ];
}

export function covariance(data: readonly CovarianceData[]): Illustration {
  const nameOf = ({ ghostSize }: CovarianceData) =>
    ghostSize === null ? "batch norm over the batch" : `ghosts of ${ghostSize}`;
  const title = "Covariance of the gradient, times the batch size";
  const law = "slope −1: independent gradients";
  const reference = data[0]?.points ?? [];
  const spec = curves(
    [
      ...data.flatMap((curve) =>
        curve.points.map(({ batchSize: x, scaled: y, scaledError: e }): Datum => {
          const bar = e === undefined || !Number.isFinite(e) ? {} : { low: y - e, high: y + e };
          return { series: nameOf(curve), source: OURS, x, y, ...bar };
        }),
      ),
      ...reference.map(({ batchSize: x }): Datum => {
        return { series: law, source: COMPUTED, x, y: reference[0]!.scaled };
      }),
    ],
    {
      title,
      x: { title: "batch size M", log: true, ticks: reference.map(({ batchSize }) => batchSize) },
      y: { title: "M · tr cov(ĝ)", zero: true },
      series: [...data.map(nameOf), law],
      legend: "normalization",
      points: true,
      dashes: [...data.map(() => SOLID), DASHES[1]],
    },
  );
  const known = data.some(({ points }) => points.some(({ scaledError }) => scaledError !== undefined));
  const caption = `${known ? "Error bars: ± 1 standard error." : "The record has no standard errors of the points; those of the slopes are below."} Dashed: M · tr of the smallest batch, which stays constant for independent gradients.`;
  const rows = data.flatMap((curve) =>
    curve.points.map(({ batchSize, trace, scaled, scaledError }) => [
      nameOf(curve),
      formatCount(batchSize),
      trace.toPrecision(4),
      `${scaled.toPrecision(4)}${scaledError === undefined ? "" : ` ± ${scaledError.toPrecision(2)}`}`,
    ]),
  );
  const slopes = data.flatMap((curve) => [
    "",
    `${nameOf(curve)}: the trace falls as M^${curve.slope.toFixed(3)} ± ${curve.slopeError.toFixed(3)}; independent gradients would give −1.`,
  ]);
  const table = markdownTable(["normalization", "M", "tr cov(ĝ)", "M · tr cov(ĝ)"], rows);
  return { charts: [{ name: "covariance", title, spec, caption }], text: [...table, ...slopes] };
}

/** ρ(B) = √(B / B_simple): one number and its law; a chart would add nothing. */
export function gradientRatio({ ghostSize, scale, ratios, medianRatio }: RatioData): Illustration {
  const rows = ratios.map(({ batchSize, ratio }) => [
    formatCount(batchSize),
    ratio === null ? "undetermined" : ratio.toFixed(3),
  ]);
  return {
    charts: [],
    text: [
      ...markdownTable(["batch size B", "ρ(B) = ‖E[Δw]‖ / √tr cov(Δw)"], rows),
      "",
      scale === null
        ? "Undetermined: the mean of the gradient cannot be distinguished from 0; use more `--draws`."
        : `ρ(B) = √(B / B_simple) with B_simple = ${scale.toFixed(0)} samples, where mean and standard deviation are equal (ρ = 1). The paper's E[Δw] ≪ deviation holds for batches far below it.`,
      "",
      `Median over coordinates of |mean| / deviation, batches of ${ghostSize}: ${medianRatio.toFixed(3)}.`,
    ],
  };
}

export function noiseScale(data: NoiseScaleData): Illustration {
  const { scale, interval, squaredGradient, trace, small, large, rounds } = data;
  const undetermined = "undetermined: use more --draws";
  const text = markdownTable(
    ["B_simple (samples)", "95 % interval", "‖g‖²", "tr C of one sample", "batches compared", "rounds"],
    [
      [
        scale === null ? undetermined : scale.toFixed(0),
        interval === null ? undetermined : `${interval.low.toFixed(0)} to ${interval.high.toFixed(0)}`,
        squaredGradient.toExponential(2),
        trace.toExponential(2),
        `${small}, ${large}`,
        String(rounds.length),
      ],
    ],
  );
  return { charts: [], text };
}

export function sharpness(data: readonly SharpnessData[]): Illustration {
  const rows = data.map(({ space, epsilon, sharpness, startLoss, highestLoss }) => [
    space,
    String(epsilon),
    `≥ ${sharpness.toPrecision(3)}`,
    startLoss.toFixed(4),
    highestLoss.toFixed(4),
  ]);
  return {
    charts: [],
    text: [
      ...markdownTable(["space", "ε", "sharpness φ (%)", "loss f(x)", "highest loss found"], rows),
      "",
      "φ = 100 · (max f(x + A y) − f(x)) / (1 + f(x)) over the box |y| ≤ ε·(|A⁺x| + 1) (Keskar et al. 2017); scale-free: |y| ≤ ε·|x|. The value found by ascent is a lower bound.",
    ],
  };
}
