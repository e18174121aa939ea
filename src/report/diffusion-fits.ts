/**
 * How the distance from the start grows with the step (Hoffer et al. 2017, section 3 and Figure 2): four laws, fitted by
 * least squares and compared by AICc.
 *
 *   log          d = a + b ln t
 *   power        d = c t^p
 *   log-power    d = k (ln t)^q          α = 2/q is the exponent of the loss's correlation; the paper argues for 2
 *   saturating   d = a (1 − exp(−(t/τ)^p))
 *
 * The paper draws log lines; its own curves go from nearly a power law at large batches to saturation at small ones.
 */
import { DataError } from "../support/errors.ts";
import { boundedInteger, pcg4d, STREAMS } from "../support/random.ts";
import { bootstrap, fitLine, type Interval, mean } from "../support/statistics.ts";

export const LAWS = ["log", "power", "log-power", "saturating"] as const;
export type Law = (typeof LAWS)[number];

export interface Fit {
  readonly law: Law;
  readonly parameters: Readonly<Record<string, number>>;
  readonly r2: number;
  /** Akaike's criterion with the correction for few points; lower is better. Only differences are meaningful. */
  readonly aicc: number;
  /** d at a step. */
  readonly at: (step: number) => number;
}

/** Distances of one run: ascending steps above 1, where ln t is positive. */
export interface DistanceCurve {
  readonly step: readonly number[];
  readonly distance: readonly number[];
}

/** Six points leave a degree of freedom to AICc of three parameters and the variance. */
export const FEWEST_POINTS = 6;

/** All four, the best first. @throws DataError for fewer than FEWEST_POINTS points */
export function fitLaws(curve: DistanceCurve): Fit[] {
  requirePoints(curve);
  return LAWS.map((law) => fitLaw(law, curve)).sort((a, b) => a.aicc - b.aicc);
}

/** @throws DataError for fewer than FEWEST_POINTS points */
export function fitLaw(law: Law, curve: DistanceCurve): Fit {
  requirePoints(curve);
  const { step, distance } = curve;
  switch (law) {
    case "log": {
      const { intercept: a, slope: b } = fitLine(step.map(Math.log), distance);
      return finish(law, { a, b }, (t) => a + b * Math.log(t), curve);
    }
    case "power": {
      const p = minimize((p) => scaledResidual(curve, (t) => t ** p).residual, 0, 2);
      const { scale: c } = scaledResidual(curve, (t) => t ** p);
      return finish(law, { c, p }, (t) => c * t ** p, curve);
    }
    case "log-power": {
      const q = minimize((q) => scaledResidual(curve, (t) => Math.log(t) ** q).residual, 0, 12);
      const { scale: k } = scaledResidual(curve, (t) => Math.log(t) ** q);
      return finish(law, { k, q, alpha: 2 / q }, (t) => k * Math.log(t) ** q, curve);
    }
    case "saturating": {
      const shape = (p: number, logTau: number) => (t: number) =>
        1 - Math.exp(-((t / Math.exp(logTau)) ** p));
      const last = Math.log(step.at(-1)!);
      // τ up to a million times the last step: beyond that the law is a power law.
      const tauFor = (p: number) =>
        minimize((logTau) => scaledResidual(curve, shape(p, logTau)).residual, 0, last + 14);
      const p = minimize((p) => scaledResidual(curve, shape(p, tauFor(p))).residual, 0.02, 2);
      const logTau = tauFor(p);
      const { scale: a } = scaledResidual(curve, shape(p, logTau));
      return finish(law, { a, tau: Math.exp(logTau), p }, (t) => a * shape(p, logTau)(t), curve);
    }
  }
}

export interface LawComparison {
  readonly fits: readonly Fit[];
  /** Laws that AICc cannot distinguish from the best: within 2 of it (Burnham and Anderson 2002). */
  readonly plausible: readonly Law[];
  readonly slope: Estimate;
  readonly power: Estimate;
  readonly alpha: Estimate;
}

export interface Estimate extends Interval {
  readonly value: number;
}

/** Number of consecutive points that the bootstrap draws together, because neighbours on a run's curve are correlated. */
const BLOCK = 5;
/** Each draw is fitted again; with 400 draws the ends of a 95 % interval are within a few percent of its width. */
const BOOTSTRAP_DRAWS = 400;

/**
 * The laws for the mean over runs of one setting, with 95 % intervals of b, p and α = 2/q from moving blocks of points,
 * nested in a resampling of runs if there are several.
 * @param curves one per seed, all at the same steps
 * @throws DataError for too few points or unequal steps
 */
export function compareLaws(curves: readonly DistanceCurve[], { seed = 0 } = {}): LawComparison {
  const [first] = curves;
  if (first === undefined) throw new DataError("a fit of the distance needs at least one run");
  const { step } = first;
  if (curves.some((curve) => curve.step.join() !== step.join())) {
    throw new DataError("a fit of the distance over seeds needs runs measured at the same steps");
  }
  const average = (chosen: readonly DistanceCurve[]) =>
    step.map((_, i) => mean(chosen.map(({ distance }) => distance[i]!)));
  const whole = { step, distance: average(curves) };
  const fits = fitLaws(whole);
  const estimate = (law: Law, name: string): Estimate => {
    const value = fitLaw(law, whole).parameters[name]!;
    let draw = 0;
    const interval = bootstrap(
      step.length,
      (positions) => {
        draw++;
        const chosen = curves.map(
          (_, i) => curves[boundedInteger(pcg4d(seed, STREAMS.bootstrapRuns, draw, i)[0], curves.length)]!,
        );
        const distance = average(chosen);
        const order = [...positions].sort((a, b) => a - b);
        const resampled = { step: order.map((i) => step[i]!), distance: order.map((i) => distance[i]!) };
        if (new Set(order).size < 3) return Number.NaN;
        return fitLaw(law, resampled).parameters[name]!;
      },
      { block: BLOCK, draws: BOOTSTRAP_DRAWS, seed },
    );
    return { value, ...interval };
  };
  return {
    fits,
    plausible: fits.filter(({ aicc }) => aicc - fits[0]!.aicc <= 2).map(({ law }) => law),
    slope: estimate("log", "b"),
    power: estimate("power", "p"),
    alpha: estimate("log-power", "alpha"),
  };
}

export interface Equilibrium {
  /** The last distance, divided by the level of the saturating law. */
  readonly reached: number;
  /** Slope of d in ln t over the last third of ln t, divided by that over the rest: 1 for the log law, 0 in equilibrium. */
  readonly slopes: number;
}

/**
 * Whether the mean distance over runs of one setting has reached equilibrium.
 * @param level a of the saturating law
 */
export function equilibriumOf(curves: readonly DistanceCurve[], level: number): Equilibrium {
  const { step } = curves[0]!;
  const distance = step.map((_, i) => mean(curves.map((curve) => curve.distance[i]!)));
  const time = step.map(Math.log);
  const turn = time[0]! + (2 / 3) * (time.at(-1)! - time[0]!);
  const first = time.findIndex((t) => t >= turn);
  const slope = (from: number, to?: number) => fitLine(time.slice(from, to), distance.slice(from, to)).slope;
  // Both parts include the point between them.
  return {
    reached: distance.at(-1)! / level,
    slopes: slope(Math.min(first, step.length - 2)) / slope(0, first + 1),
  };
}

/** About `perDecade` points per factor of ten, so that late steps do not dominate a fit on a logarithmic axis. */
export function resampleByDecade(
  { step, distance }: DistanceCurve,
  from: number,
  perDecade = 12,
): DistanceCurve {
  const kept: number[] = [];
  let previous = Number.NEGATIVE_INFINITY;
  for (const [i, t] of step.entries()) {
    const position = Math.floor(perDecade * Math.log10(t));
    if (t < from || t <= 1 || !Number.isFinite(distance[i]!) || position === previous) continue;
    previous = position;
    kept.push(i);
  }
  return { step: kept.map((i) => step[i]!), distance: kept.map((i) => distance[i]!) };
}

function requirePoints({ step, distance }: DistanceCurve): void {
  if (
    step.length !== distance.length ||
    step.some((t) => !(t > 1)) ||
    distance.some((d) => !Number.isFinite(d))
  ) {
    throw new DataError("a fit of the distance needs finite distances at steps above 1");
  }
  if (step.length < FEWEST_POINTS) {
    throw new DataError(
      `a fit of the distance needs ${FEWEST_POINTS} points, found ${step.length}; train longer`,
    );
  }
}

/** d ≈ scale · shape(t). The scale is linear, so only the shape's parameters need a search. */
function scaledResidual({ step, distance }: DistanceCurve, shape: (t: number) => number) {
  let [fd, ff] = [0, 0];
  const values = step.map(shape);
  for (const [i, f] of values.entries()) {
    fd += f * distance[i]!;
    ff += f * f;
  }
  const scale = ff > 0 ? fd / ff : 0;
  const residual = values.reduce((sum, f, i) => sum + (distance[i]! - scale * f) ** 2, 0);
  return { scale, residual: Number.isFinite(residual) ? residual : Number.POSITIVE_INFINITY };
}

/** The x that minimizes f on [low, high]: a grid to find the valley, then golden-section search in it. */
function minimize(f: (x: number) => number, low: number, high: number): number {
  const GRID = 24;
  const at = (i: number) => low + ((high - low) * i) / GRID;
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i <= GRID; i++) {
    const value = f(at(i));
    if (value < least) [best, least] = [i, value];
  }
  let [a, b] = [at(Math.max(0, best - 1)), at(Math.min(GRID, best + 1))];
  const golden = (Math.sqrt(5) - 1) / 2;
  let [x1, x2] = [b - golden * (b - a), a + golden * (b - a)];
  let [f1, f2] = [f(x1), f(x2)];
  while (b - a > 1e-6 * (high - low)) {
    if (f1 <= f2) {
      [b, x2, f2] = [x2, x1, f1];
      x1 = b - golden * (b - a);
      f1 = f(x1);
    } else {
      [a, x1, f1] = [x1, x2, f2];
      x2 = a + golden * (b - a);
      f2 = f(x2);
    }
  }
  return (a + b) / 2;
}

function finish(
  law: Law,
  parameters: Readonly<Record<string, number>>,
  at: (step: number) => number,
  { step, distance }: DistanceCurve,
): Fit {
  const n = step.length;
  const residual = step.reduce((sum, t, i) => sum + (distance[i]! - at(t)) ** 2, 0);
  const center = mean(distance);
  const total = distance.reduce((sum, d) => sum + (d - center) ** 2, 0);
  // The variance of the residuals is a parameter too. α follows from q, so it is not.
  const free = (law === "saturating" ? 3 : 2) + 1;
  const correction = (2 * free * (free + 1)) / (n - free - 1);
  // A perfect fit would have no logarithm; rounding leaves about 1e-16 of the total.
  const aicc = n * Math.log(Math.max(residual, 1e-30 + 1e-24 * total) / n) + 2 * free + correction;
  return { law, parameters, r2: total > 0 ? 1 - residual / total : 1, aicc, at };
}
