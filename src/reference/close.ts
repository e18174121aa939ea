// Comparison of float32 results from the GPU with a float64 reference, with a computed tolerance.

/** Half a unit in the last place of a float32 in [1, 2): the largest relative error of one rounding. */
const FLOAT32_ROUNDING = 2 ** -24;

/** How far a result is from its reference. */
export interface Closeness {
  /** Largest |actual − reference|; infinite where a value is NaN. */
  readonly maxError: number;
  /** Where it is. */
  readonly index: number;
  /** Normalised mean squared error Σ (actual − reference)² / Σ reference², free of scale. */
  readonly nmse: number;
  /** Number of values whose error exceeds the bound. */
  readonly wrong: number;
}

/**
 * The error that rounding alone explains: c · √K · 2⁻²⁴ · scale. The roundings of a sum of K terms add up like a
 * random walk, so the error grows with √K times the size of the rounded values.
 *
 * @param terms   K, how many terms each result sums
 * @param scale   size of the results: usually `largest(reference)`, `rootMeanSquare` for a stricter bound, or, where
 *   terms cancel (dx of a batch norm), the size of the terms · √K
 * @param factor  c, default 4; a kernel that needs more should say why
 */
export function roundingBound({
  terms,
  scale,
  factor = 4,
}: {
  terms: number;
  scale: number;
  factor?: number;
}): number {
  return factor * Math.sqrt(terms) * FLOAT32_ROUNDING * scale;
}

/** max |v|; 0 for an empty array. */
export function largest(values: ArrayLike<number>): number {
  let maximum = 0;
  for (let i = 0; i < values.length; i++) maximum = Math.max(maximum, Math.abs(values[i]));
  return maximum;
}

/** √(1/n · Σ v²) */
export function rootMeanSquare(values: ArrayLike<number>): number {
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += values[i] ** 2;
  return Math.sqrt(squares / values.length);
}

/** How close `actual` is to `reference`, of the same length; NaN and infinity are never close. */
export function closeness(actual: ArrayLike<number>, reference: ArrayLike<number>, bound: number): Closeness {
  let maxError = 0;
  let index = 0;
  let squaredError = 0;
  let squaredReference = 0;
  let wrong = 0;
  for (let i = 0; i < actual.length; i++) {
    const difference = Math.abs(actual[i] - reference[i]);
    const error = Number.isFinite(difference) ? difference : Number.POSITIVE_INFINITY;
    if (!(error <= bound)) wrong++;
    if (error > maxError) {
      maxError = error;
      index = i;
    }
    squaredError += error ** 2;
    squaredReference += reference[i] ** 2;
  }
  return { maxError, index, nmse: squaredError === 0 ? 0 : squaredError / squaredReference, wrong };
}

/** Position of flat `index` in a row-major array of the given shape. */
export function coordinates(index: number, shape: readonly number[]): number[] {
  const place: number[] = [];
  let rest = index;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    place.unshift(rest % shape[axis]);
    rest = Math.floor(rest / shape[axis]);
  }
  return place;
}
