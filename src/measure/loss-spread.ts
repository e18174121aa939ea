/** Analyzes points (‖w − w₀‖, L(w)) along random directions: the spread by distance, its fits, and whether the gradient explains it. */
import { fitLine, mean } from "../support/statistics.ts";

export interface DirectionPoint {
  /** ‖w − w₀‖. */
  readonly distance: number;
  readonly loss: number;
}

export interface DirectionBin {
  /** Root mean square of d, so that for a linear loss deviation / distance is its slope. */
  readonly distance: number;
  /** Root mean square of L(w) − L(w₀). */
  readonly deviation: number;
  /** Mean of L(w) − L(w₀). */
  readonly shift: number;
  readonly points: number;
  /** Effective number of independent points of equal weight: (Σ d²)² / Σ d⁴. */
  readonly effectivePoints: number;
}

export interface SpreadFit {
  /** Fit of the spread as √(floor² + (slope · d)²). */
  readonly floor: number;
  readonly slope: number;
  /** Exponent of the power law through the bins, with its standard error; α / 2 in the paper's terms. */
  readonly exponent: number;
  readonly exponentError: number;
}

export interface Curvature {
  /** tr(H) / P from E[L(w) − L(w₀)] = d² · tr(H) / (2P), with its standard error. If the loss is not a paraboloid, that of its chord. */
  readonly curvature: number;
  readonly curvatureError: number;
}

/** Fraction by which the spread may differ from the Taylor line: 15 %, the criterion of docs/PAPER.md. */
const TAYLOR_BAND = 0.15;
/** A normal number exceeds it once in 200 times, so for a linear loss one of ten bins does once in twenty measurements. */
const Z = 2.807;

/**
 * Distance of the first bin whose interval for deviation / (slope · distance), corrected for the number of bins, lies outside 1 ± 15 %;
 * null if none does.
 */
export function leavesTaylorAt(bins: readonly DirectionBin[], taylorSlope: number): number | null {
  for (const { distance, deviation, effectivePoints: n } of bins) {
    const ratio = deviation / (taylorSlope * distance);
    // For a linear loss n · ratio² is χ² with n degrees of freedom; quantiles from Wilson and Hilferty 1931.
    const quantile = (sign: number) => Math.max(0, 1 - 2 / (9 * n) + sign * Z * Math.sqrt(2 / (9 * n))) ** 3;
    const [low, high] = [ratio / Math.sqrt(quantile(1)), ratio / Math.sqrt(quantile(-1))];
    if (low > 1 + TAYLOR_BAND || high < 1 - TAYLOR_BAND) return distance;
  }
  return null;
}

/** Least squares of L(w) − L(w₀) on d²/2 through the origin; the error allows for a scatter that grows with d. */
export function curvatureOf(points: readonly DirectionPoint[], startLoss: number): Curvature {
  const finite = points.filter(({ loss }) => Number.isFinite(loss));
  const x = finite.map(({ distance }) => distance ** 2 / 2);
  const y = finite.map(({ loss }) => loss - startLoss);
  const xx = x.reduce((sum, value) => sum + value * value, 0);
  const curvature = x.reduce((sum, value, i) => sum + value * y[i]!, 0) / xx;
  const scatter = x.reduce((sum, value, i) => sum + (value * (y[i]! - curvature * value)) ** 2, 0);
  return { curvature, curvatureError: Math.sqrt(scatter) / xx };
}

/** Equal bins of the range of distances; empty ones are omitted. */
export function binPoints(
  points: readonly DirectionPoint[],
  startLoss: number,
  bins: number,
): DirectionBin[] {
  const largest = Math.max(...points.map(({ distance }) => distance));
  const groups = Array.from({ length: bins }, (): DirectionPoint[] => []);
  for (const point of points) {
    if (Number.isFinite(point.loss))
      groups[Math.min(bins - 1, Math.floor((bins * point.distance) / largest))]!.push(point);
  }
  return groups
    .filter((group) => group.length > 0)
    .map((group) => {
      const differences = group.map(({ loss }) => loss - startLoss);
      const squares = group.map(({ distance }) => distance ** 2);
      const fourth = mean(squares.map((square) => square ** 2));
      return {
        distance: Math.sqrt(mean(squares)),
        effectivePoints: (group.length * mean(squares) ** 2) / fourth,
        deviation: Math.sqrt(mean(differences.map((difference) => difference ** 2))),
        shift: mean(differences),
        points: group.length,
      };
    });
}

/** deviation² = floor² + slope² · d² by least squares on the squares, weighted by 1 / deviation⁴; and the power law. */
export function fitSpread(bins: readonly Pick<DirectionBin, "distance" | "deviation">[]): SpreadFit {
  const unknown = Number.NaN;
  if (bins.length < 3) return { floor: unknown, slope: unknown, exponent: unknown, exponentError: unknown };
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const { distance, deviation } of bins) {
    const [x, y] = [distance ** 2, deviation ** 2];
    const weight = 1 / Math.max(y * y, Number.MIN_VALUE);
    w += weight;
    wx += weight * x;
    wy += weight * y;
    wxx += weight * x * x;
    wxy += weight * x * y;
  }
  const slopeSquared = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  const floorSquared = (wy - slopeSquared * wx) / w;
  const power = fitLine(
    bins.map(({ distance }) => Math.log(distance)),
    bins.map(({ deviation }) => Math.log(Math.max(deviation, Number.MIN_VALUE))),
  );
  return {
    floor: Math.sqrt(Math.max(0, floorSquared)),
    slope: Math.sqrt(Math.max(0, slopeSquared)),
    exponent: power.slope,
    exponentError: power.slopeError,
  };
}
