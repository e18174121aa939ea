/** The error of a result relative to its reference, and the allowed error. */

/** One tensor of a case. */
export interface Comparison {
  readonly tensor: string;
  /** ‖out − ref‖ / ‖ref‖, over all elements. NaN or infinite when an element is; such a tensor fails. */
  readonly error: number;
  /** The largest error that passes. */
  readonly tolerance: number;
  /** A larger one that passes, since rounding alone makes errors of this size in this run (training-run.ts). */
  readonly rounding?: number;
}

/** What to compare a tensor with. */
export interface Reference {
  readonly shape: readonly number[];
  readonly data: ArrayLike<number>;
}

/**
 * The relative error that rounding to float32 explains in sums of this many terms. Roundings add up like a random walk,
 * so their sum grows with √K; 2e-6 is 32 times the rounding of one operation, room for the few ulp that WGSL allows
 * a division or an exponential. Above 2e-5 a wrong constant or a missed border could hide.
 *
 * @param terms     K, how many terms each element sums
 * @param condition factor by which the operation enlarges a relative error of its inputs
 */
export function roundingTolerance(terms: number, condition = 1): number {
  return Math.min(2e-5, 2e-6 * Math.sqrt(Math.max(1, terms)) * Math.max(1, condition));
}

/**
 * @param floor the smallest size that the error is taken relative to, for references that are 0 except for rounding
 */
export function compare(
  tensor: string,
  actual: ArrayLike<number>,
  reference: Reference,
  { tolerance, floor = 0 }: { tolerance: number; floor?: number },
): Comparison {
  if (actual.length !== reference.data.length) return { tensor, error: Number.POSITIVE_INFINITY, tolerance };
  let difference = 0;
  for (let i = 0; i < actual.length; i++) difference += (actual[i]! - reference.data[i]!) ** 2;
  const scale = Math.max(norm(reference.data), floor);
  // 0 / 0 is exact agreement; any other number over 0 is an error.
  const error = difference === 0 ? 0 : Math.sqrt(difference) / scale;
  return { tensor, error, tolerance };
}

/** Not `error > tolerance`: with NaN every comparison is false. */
export function passes({ error, tolerance, rounding = tolerance }: Comparison): boolean {
  return error <= rounding;
}

/** The one furthest beyond its tolerance, or nearest to it. */
export function worstOf(comparisons: readonly Comparison[]): Comparison | null {
  const excess = ({ error, tolerance, rounding = tolerance }: Comparison) => {
    if (error === 0) return 0;
    return Number.isNaN(error) ? Number.POSITIVE_INFINITY : error / rounding;
  };
  return comparisons.reduce<Comparison | null>(
    (worst, next) => (worst && excess(worst) >= excess(next) ? worst : next),
    null,
  );
}

/** ‖values‖₂ */
export function norm(values: ArrayLike<number>): number {
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += values[i]! ** 2;
  return Math.sqrt(squares);
}
