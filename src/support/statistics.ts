// Statistics of small samples: means, quantiles, least squares, bootstrap intervals. Pure; a seed decides every draw.

import { GhostbatchError } from "./errors.ts";
import { boundedInteger, pcg4d, STREAMS } from "./random.ts";

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** With n − 1 in the denominator; 0 for a single value, whose spread is unknown. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const center = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1));
}

/** The value below which a fraction of `values` lies, interpolated between neighbours (Hyndman and Fan 1996, type 7). */
export function quantile(values: readonly number[], fraction: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const position = fraction * (sorted.length - 1);
  const below = Math.floor(position);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below]! + (position - below) * (sorted[above]! - sorted[below]!);
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export interface Line {
  readonly intercept: number;
  readonly slope: number;
  /** Standard error of the slope; NaN for fewer than three points. */
  readonly slopeError: number;
  /** 1 − residual / total sum of squares. */
  readonly r2: number;
}

/** y ≈ intercept + slope · x by least squares. @throws GhostbatchError for fewer than two different x */
export function fitLine(x: readonly number[], y: readonly number[]): Line {
  const [centerX, centerY] = [mean(x), mean(y)];
  let [xx, xy, yy] = [0, 0, 0];
  for (const [i, value] of x.entries()) {
    xx += (value - centerX) ** 2;
    xy += (value - centerX) * (y[i]! - centerY);
    yy += (y[i]! - centerY) ** 2;
  }
  if (!(xx > 0))
    throw new GhostbatchError(`fitting a line needs two different x values, got ${x.length} points`);
  const slope = xy / xx;
  const residual = Math.max(0, yy - slope * xy);
  return {
    intercept: centerY - slope * centerX,
    slope,
    slopeError: x.length > 2 ? Math.sqrt(residual / (x.length - 2) / xx) : Number.NaN,
    r2: yy > 0 ? 1 - residual / yy : 1,
  };
}

export interface Interval {
  readonly low: number;
  readonly high: number;
}

export interface BootstrapOptions {
  /** Number of consecutive values drawn together; 1 for independent values. */
  readonly block?: number;
  readonly draws?: number;
  readonly seed?: number;
  /** Coverage probability of the interval. */
  readonly coverage?: number;
}

/** Enough draws for a 95 % interval: about 50 of them lie outside on each side. */
const DRAWS = 2000;

/**
 * Percentile interval of `statistic` under the moving-block bootstrap (Künsch 1989): positions 0 … n−1 are drawn in
 * blocks of consecutive ones, which preserves correlation between neighbours. Draws on which the statistic is not finite
 * are left out; if none remain, the interval is NaN.
 */
export function bootstrap(
  n: number,
  statistic: (positions: readonly number[]) => number,
  options: BootstrapOptions = {},
): Interval {
  const { block = 1, draws = DRAWS, seed = 0, coverage = 0.95 } = options;
  const length = Math.min(block, n);
  const values: number[] = [];
  for (let draw = 0; draw < draws; draw++) {
    const positions: number[] = [];
    for (let k = 0; positions.length < n; k++) {
      const start = boundedInteger(pcg4d(seed, STREAMS.bootstrap, draw, k)[0], n - length + 1);
      for (let i = 0; i < length && positions.length < n; i++) positions.push(start + i);
    }
    const value = statistic(positions);
    if (Number.isFinite(value)) values.push(value);
  }
  if (values.length === 0) return { low: Number.NaN, high: Number.NaN };
  return { low: quantile(values, (1 - coverage) / 2), high: quantile(values, (1 + coverage) / 2) };
}
