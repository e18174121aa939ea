// Float64 reference of linear: plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

export interface LinearSize {
  /** Rows of the batch. */
  readonly N: number;
  /** Input features. */
  readonly I: number;
  /** Output features. */
  readonly O: number;
}

/**
 * y[n, o] = Σ_i x[n, i] · weight[o, i] + bias[o]
 *
 * @param x       [N, I]
 * @param weight  [O, I], PyTorch's layout
 * @param bias    [O], optional
 * @returns y [N, O]
 */
export function linear(
  { x, weight, bias }: { x: Values; weight: Values; bias?: Values },
  { N, I, O }: LinearSize,
): Float64Array {
  const y = new Float64Array(N * O);
  for (let n = 0; n < N; n++) {
    for (let o = 0; o < O; o++) {
      let sum = bias ? bias[o] : 0;
      for (let i = 0; i < I; i++) sum += x[n * I + i] * weight[o * I + i];
      y[n * O + o] = sum;
    }
  }
  return y;
}

/**
 * dx[n, i] = Σ_o dy[n, o] · weight[o, i],  dweight[o, i] = Σ_n dy[n, o] · x[n, i],  dbias[o] = Σ_n dy[n, o]
 *
 * @param x       [N, I]
 * @param weight  [O, I]
 * @param dy      [N, O]
 * @returns dx [N, I], dweight [O, I], dbias [O]
 */
export function linearGradients(
  { x, weight, dy }: { x: Values; weight: Values; dy: Values },
  { N, I, O }: LinearSize,
): { dx: Float64Array; dweight: Float64Array; dbias: Float64Array } {
  const dx = new Float64Array(N * I);
  const dweight = new Float64Array(O * I);
  const dbias = new Float64Array(O);
  for (let n = 0; n < N; n++) {
    for (let o = 0; o < O; o++) {
      const incoming = dy[n * O + o];
      dbias[o] += incoming;
      for (let i = 0; i < I; i++) {
        dx[n * I + i] += incoming * weight[o * I + i];
        dweight[o * I + i] += incoming * x[n * I + i];
      }
    }
  }
  return { dx, dweight, dbias };
}
