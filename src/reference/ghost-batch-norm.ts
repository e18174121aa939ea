// Float64 reference of ghost batch normalization (Hoffer et al. 2017, Algorithm 1): plain loops, no import from the rest of src/.

import type { Values } from "./values.ts";

export interface GhostLayout {
  /** Samples in the batch. */
  readonly N: number;
  /** Samples in a ghost batch; ghost g covers the samples [g·ghostSize, (g + 1)·ghostSize). */
  readonly ghostSize: number;
  /** Number of ghost batches; the last one runs to N, so it may be shorter or longer than the others. */
  readonly ghosts: number;
}

export interface GhostBatchNormSize extends GhostLayout {
  /** Channels. */
  readonly C: number;
  /** Positions in one channel of one sample: H·W for an image, 1 after a linear layer. */
  readonly HW: number;
}

export interface GhostBatchNormOptions extends GhostBatchNormSize {
  /** Added to the variance under the square root. */
  readonly eps: number;
  /** y = max(…, 0) after the affine map (and after the residual is added). */
  readonly relu?: boolean;
}

/** How running statistics follow the statistics of the ghosts; see `updateRunningStatistics`. */
export type RunningRule = "sequential" | "mean" | "full" | "composer" | "paper-literal";

/** The samples [start, end) of ghost g. */
export function ghostRange(g: number, { N, ghostSize, ghosts }: GhostLayout): { start: number; end: number } {
  return { start: g * ghostSize, end: g === ghosts - 1 ? N : (g + 1) * ghostSize };
}

/**
 * mean[g, c] = 1/M · Σ x,  variance[g, c] = 1/M · Σ (x − mean[g, c])²  over the M = |ghost g| · HW values (biased).
 *
 * @param x  [N, C, HW]
 * @returns mean and variance [G, C]
 */
export function ghostStatistics(
  x: Values,
  size: GhostBatchNormSize,
): { mean: Float64Array; variance: Float64Array } {
  const { C, HW, ghosts } = size;
  const mean = new Float64Array(ghosts * C);
  const variance = new Float64Array(ghosts * C);
  for (let g = 0; g < ghosts; g++) {
    const { start, end } = ghostRange(g, size);
    const M = (end - start) * HW;
    for (let c = 0; c < C; c++) {
      let sum = 0;
      for (let n = start; n < end; n++) for (let p = 0; p < HW; p++) sum += x[(n * C + c) * HW + p];
      const mu = sum / M;
      let squares = 0;
      for (let n = start; n < end; n++) {
        for (let p = 0; p < HW; p++) squares += (x[(n * C + c) * HW + p] - mu) ** 2;
      }
      mean[g * C + c] = mu;
      variance[g * C + c] = squares / M;
    }
  }
  return { mean, variance };
}

/**
 * Training mode: y = gamma · x̂ + beta (+ residual),  x̂ = (x − mean) / √(variance + eps),  then relu if asked for.
 *
 * @param x         [N, C, HW]
 * @param gamma     [C]
 * @param beta      [C]
 * @param residual  [N, C, HW], optional
 * @returns y [N, C, HW]; mean and biased variance of every ghost [G, C]
 */
export function ghostBatchNorm(
  { x, gamma, beta, residual }: { x: Values; gamma: Values; beta: Values; residual?: Values },
  options: GhostBatchNormOptions,
): { y: Float64Array; mean: Float64Array; variance: Float64Array } {
  const { C, HW, ghosts, eps, relu = false } = options;
  const { mean, variance } = ghostStatistics(x, options);
  const y = new Float64Array(x.length);
  for (let g = 0; g < ghosts; g++) {
    const { start, end } = ghostRange(g, options);
    for (let n = start; n < end; n++) {
      for (let c = 0; c < C; c++) {
        const scale = gamma[c] / Math.sqrt(variance[g * C + c] + eps);
        for (let p = 0; p < HW; p++) {
          const i = (n * C + c) * HW + p;
          const value = (x[i] - mean[g * C + c]) * scale + beta[c] + (residual ? residual[i] : 0);
          y[i] = relu && value <= 0 ? 0 : value;
        }
      }
    }
  }
  return { y, mean, variance };
}

/**
 * Gradients of training mode. With dz = dy (where y > 0, if relu) and sums over the M values of one ghost:
 *
 *   dx = gamma / √(variance + eps) · (dz − 1/M · Σ dz − x̂ · 1/M · Σ dz · x̂)
 *   dgamma = Σ_batch dz · x̂,  dbeta = Σ_batch dz,  dresidual = dz
 *
 * @param x      [N, C, HW]
 * @param gamma  [C]
 * @param y      [N, C, HW], read only with `relu`: the output of `ghostBatchNorm`, or that of the GPU, so that a
 *               value which float32 rounds to the other side of 0 has the same slope on both sides of a comparison
 * @param dy     [N, C, HW]
 * @returns dx and dresidual [N, C, HW]; dgamma and dbeta [C]
 */
export function ghostBatchNormGradients(
  { x, gamma, y, dy }: { x: Values; gamma: Values; y: Values; dy: Values },
  options: GhostBatchNormOptions,
): { dx: Float64Array; dgamma: Float64Array; dbeta: Float64Array; dresidual: Float64Array } {
  const { C, HW, ghosts, eps, relu = false } = options;
  const { mean, variance } = ghostStatistics(x, options);
  const dz = new Float64Array(x.length);
  for (let i = 0; i < x.length; i++) dz[i] = relu && y[i] <= 0 ? 0 : dy[i];

  const dx = new Float64Array(x.length);
  const dgamma = new Float64Array(C);
  const dbeta = new Float64Array(C);
  for (let g = 0; g < ghosts; g++) {
    const { start, end } = ghostRange(g, options);
    const M = (end - start) * HW;
    for (let c = 0; c < C; c++) {
      const mu = mean[g * C + c];
      const inverse = 1 / Math.sqrt(variance[g * C + c] + eps);
      let sumDz = 0;
      let sumDzXhat = 0;
      for (let n = start; n < end; n++) {
        for (let p = 0; p < HW; p++) {
          const i = (n * C + c) * HW + p;
          sumDz += dz[i];
          sumDzXhat += dz[i] * (x[i] - mu) * inverse;
        }
      }
      dbeta[c] += sumDz;
      dgamma[c] += sumDzXhat;
      for (let n = start; n < end; n++) {
        for (let p = 0; p < HW; p++) {
          const i = (n * C + c) * HW + p;
          const xhat = (x[i] - mu) * inverse;
          dx[i] = gamma[c] * inverse * (dz[i] - sumDz / M - (xhat * sumDzXhat) / M);
        }
      }
    }
  }
  return { dx, dgamma, dbeta, dresidual: dz };
}

/**
 * Sizes of the values that are rounded in float32, for the tolerance of a comparison. The results themselves are too small a measure:
 * x − mean cancels where |mean| ≫ deviation, and the three terms of dx cancel (in a ghost of two values altogether).
 *
 *   y: max |gamma| · max |x| / √(variance + eps) + max |beta| + max |residual|
 *   dx: max |gamma| / √(variance + eps) · max |dy| · (1 + max |x| / √(variance + eps))
 *   dgamma: max |dy| · max |x| / √(variance + eps) · √(N · HW),  dbeta: max |dy| · √(N · HW)
 */
export function ghostBatchNormScales(
  t: { x: Values; gamma: Values; beta: Values; dy: Values; residual?: Values },
  options: GhostBatchNormOptions,
): { y: number; dx: number; dgamma: number; dbeta: number } {
  const { variance } = ghostStatistics(t.x, options);
  const largest = (values: Values) => {
    let most = 0;
    for (const value of values) most = Math.max(most, Math.abs(value));
    return most;
  };
  const inverse = 1 / Math.sqrt(variance.reduce((least, value) => Math.min(least, value)) + options.eps);
  const normalized = largest(t.x) * inverse;
  const terms = Math.sqrt(options.N * options.HW);
  return {
    y: largest(t.gamma) * normalized + largest(t.beta) + (t.residual ? largest(t.residual) : 0),
    dx: largest(t.gamma) * inverse * largest(t.dy) * (1 + normalized),
    dgamma: largest(t.dy) * normalized * terms,
    dbeta: largest(t.dy) * terms,
  };
}

/**
 * Evaluation: y = gamma · (x − runningMean) / √(runningVariance + eps) + beta (+ residual), then relu if asked for.
 * No ghosts: the result of a sample does not depend on the rest of the batch.
 *
 * @param x                             [N, C, HW]
 * @param runningMean, runningVariance  [C]
 * @param gamma, beta                   [C]
 * @param residual                      [N, C, HW], optional
 * @returns y [N, C, HW]
 */
export function evaluateBatchNorm(
  t: {
    x: Values;
    runningMean: Values;
    runningVariance: Values;
    gamma: Values;
    beta: Values;
    residual?: Values;
  },
  { N, C, HW, eps, relu = false }: { N: number; C: number; HW: number; eps: number; relu?: boolean },
): Float64Array {
  const y = new Float64Array(t.x.length);
  for (let n = 0; n < N; n++) {
    for (let c = 0; c < C; c++) {
      const scale = t.gamma[c] / Math.sqrt(t.runningVariance[c] + eps);
      for (let p = 0; p < HW; p++) {
        const i = (n * C + c) * HW + p;
        const value = (t.x[i] - t.runningMean[c]) * scale + t.beta[c] + (t.residual ? t.residual[i] : 0);
        y[i] = relu && value <= 0 ? 0 : value;
      }
    }
  }
  return y;
}
