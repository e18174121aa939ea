/** The charts of what was measured without training: the loss along random directions, the gradient's covariance. */
import { type Chart, curves, type Datum, type Illustration, OURS } from "./charts.ts";
import type { DirectionData } from "./measured-data.ts";
import { LOSS_SPREAD, PUBLISHED } from "./published.ts";

export function directions(measurements: readonly DirectionData[], withPublished: boolean): Illustration {
  const charts = measurements.map((measurement, i): Chart => {
    const { kind, range, bins, taylorSlope, floor, slope } = measurement;
    const at = bins.map(({ distance }) => distance);
    const line = (name: string, source: string, f: (d: number) => number): Datum[] =>
      at.map((x) => ({ series: name, source, x, y: f(x) }));
    const spread = "spread of L(w) − L(w₀)";
    const fit = "√(floor² + (slope·d)²)";
    const taylor = "Taylor: d·‖∇L‖/√P";
    const data: Datum[] = [
      ...bins.map(({ distance: x, deviation: y }) => ({ series: spread, source: OURS, x, y })),
      ...line(fit, OURS, (d) => Math.hypot(floor, slope * d)),
      ...line(taylor, OURS, (d) => taylorSlope * d),
    ];
    const overlay = withPublished && range >= 10;
    if (overlay) {
      data.push(
        ...LOSS_SPREAD.distance.map((x, k) => ({
          series: spread,
          source: PUBLISHED,
          x,
          y: LOSS_SPREAD.deviation[k]!,
        })),
      );
    }
    const title = `${kind === "unit" ? "Random directions" : "Directions scaled by tensor"} up to a distance of ${range}`;
    const spec = curves(data, {
      title,
      x: { title: "‖w − w₀‖", log: true },
      y: { title: "deviation of L(w) − L(w₀)", log: true },
      series: [spread, fit, taylor],
      legend: "curve",
      points: true,
    });
    return { name: `directions-${i + 1}-${kind}-${range}`, title, spec };
  });
  const rows = measurements.map(
    ({ kind, range, gradientNorm, taylorSlope, floor, slope, exponent, leavesTaylorAt }) =>
      `| ${kind} | ${range} | ${exponent.toFixed(2)} | ${floor.toExponential(1)} | ${slope.toExponential(2)} | ${taylorSlope.toExponential(2)} | ${gradientNorm.toPrecision(3)} | ${leavesTaylorAt?.toPrecision(2) ?? "nowhere"} |`,
  );
  const text = [
    "| directions | range | exponent of d | noise floor | fitted slope | Taylor slope ‖∇L‖/√P | ‖∇L‖ | leaves the Taylor line at |",
    "|---|---|---|---|---|---|---|---|",
    ...rows,
    "",
    "Near w₀ every differentiable loss has an exponent of 1, whatever α is: only where the spread leaves the Taylor line does it say anything.",
  ];
  return { charts, text };
}

export interface CovarianceData {
  readonly ghostSize: number | null;
  readonly points: readonly { readonly batchSize: number; readonly trace: number; readonly scaled: number }[];
  readonly slope: number;
  readonly slopeError: number;
}

export function covariance(data: readonly CovarianceData[]): Illustration {
  const nameOf = ({ ghostSize }: CovarianceData) =>
    ghostSize === null ? "batch norm over the batch" : `ghosts of ${ghostSize}`;
  const title = "Covariance of the gradient, times the batch size";
  const spec = curves(
    data.flatMap((curve) =>
      curve.points.map(({ batchSize: x, scaled: y }) => ({ series: nameOf(curve), source: OURS, x, y })),
    ),
    {
      title,
      x: { title: "batch size M", log: true },
      y: { title: "M · tr cov(ĝ)" },
      series: data.map(nameOf),
      legend: "normalization",
      points: true,
    },
  );
  const text = data.map(
    (curve) =>
      `${nameOf(curve)}: the trace falls as M^${curve.slope.toFixed(3)} ± ${curve.slopeError.toFixed(3)}; independent gradients would give −1.`,
  );
  return { charts: [{ name: "covariance", title, spec }], text };
}
