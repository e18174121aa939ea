// Float64 reference of the running statistics of ghost batch normalization: plain loops, no import from the rest of src/.

import { type GhostBatchNormSize, ghostRange, type RunningRule } from "./ghost-batch-norm.ts";
import type { Values } from "./values.ts";

export interface RunningStatistics {
  /** [C] */
  readonly runningMean: Float64Array;
  /** [C], unbiased (but for `paper-literal`). */
  readonly runningVariance: Float64Array;
}

/**
 * One step of the running statistics. With a = momentum, K ghosts, M_l values in ghost l, mean μ_l, biased variance v_l,
 * unbiased u_l = v_l · M_l / (M_l − 1), old value s and new value s':
 *
 * - `sequential`: for l = 1 … K: s ← (1 − a) · s + a · stat_l, with stat μ_l and u_l. What K calls of ordinary batch
 *   norm do, one per ghost.
 * - `composer`: as `sequential` with a / K.
 * - `mean`: s' = (1 − a_K) · s + a_K · 1/K · Σ_l stat_l, with a_K = 1 − (1 − a)^K and stat μ_l and u_l.
 * - `full`: as `mean`, but stat is the mean and the unbiased variance of the whole batch:
 *   μ = Σ_l M_l · μ_l / M and v = Σ_l M_l · (v_l + (μ_l − μ)²) / M, M = Σ_l M_l, u = v · M / (M − 1).
 * - `paper-literal`: Algorithm 1 as printed, with σ_l = √(v_l + eps): s' = (1 − a)^ghostSize · s + Σ_l (1 − a)^l · a · stat_l
 *   for μ and for σ (l from 1). What is stored is σ².
 *
 * With `averageDeviations`, √(u + eps) is averaged in place of u under the first four rules too, and its square stored.
 *
 * @param mean, variance                [K, C] of the ghosts, variance biased
 * @param runningMean, runningVariance  [C], the old values, left as they are
 * @returns the new values [C]
 */
export function updateRunningStatistics(
  t: { mean: Values; variance: Values; runningMean: Values; runningVariance: Values },
  options: GhostBatchNormSize & {
    rule: RunningRule;
    momentum: number;
    eps: number;
    averageDeviations?: boolean;
  },
): RunningStatistics {
  const { C, HW, ghosts: K, ghostSize, rule, momentum: a, eps, averageDeviations = false } = options;
  const runningMean = Float64Array.from(t.runningMean);
  const runningVariance = Float64Array.from(t.runningVariance);
  const values: number[] = [];
  for (let l = 0; l < K; l++) {
    const { start, end } = ghostRange(l, options);
    values.push((end - start) * HW);
  }
  const deviations = averageDeviations || rule === "paper-literal";
  const averaged = (variance: number) => (deviations ? Math.sqrt(variance + eps) : variance);

  for (let c = 0; c < C; c++) {
    const mu = values.map((_, l) => t.mean[l * C + c]);
    const biased = values.map((_, l) => t.variance[l * C + c]);
    const spread = values.map((M, l) => averaged((biased[l] * M) / (M - 1)));
    let mean = runningMean[c];
    let spreadNow = deviations ? Math.sqrt(runningVariance[c]) : runningVariance[c];

    if (rule === "sequential" || rule === "composer") {
      const share = rule === "composer" ? a / K : a;
      for (let l = 0; l < K; l++) {
        mean = (1 - share) * mean + share * mu[l];
        spreadNow = (1 - share) * spreadNow + share * spread[l];
      }
    } else if (rule === "mean") {
      const kept = (1 - a) ** K;
      mean = kept * mean + (1 - kept) * average(mu);
      spreadNow = kept * spreadNow + (1 - kept) * average(spread);
    } else if (rule === "full") {
      const kept = (1 - a) ** K;
      const whole = wholeBatch(mu, biased, values);
      mean = kept * mean + (1 - kept) * whole.mean;
      spreadNow = kept * spreadNow + (1 - kept) * averaged(whole.variance);
    } else {
      const kept = (1 - a) ** ghostSize;
      mean *= kept;
      spreadNow *= kept;
      for (let l = 1; l <= K; l++) {
        mean += (1 - a) ** l * a * mu[l - 1];
        spreadNow += (1 - a) ** l * a * averaged(biased[l - 1]);
      }
    }
    runningMean[c] = mean;
    runningVariance[c] = deviations ? spreadNow ** 2 : spreadNow;
  }
  return { runningMean, runningVariance };
}

function average(values: number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

/** Mean and unbiased variance of all values of the batch, from those of its ghosts. */
function wholeBatch(mu: number[], biased: number[], values: number[]): { mean: number; variance: number } {
  let M = 0;
  let sum = 0;
  for (let l = 0; l < mu.length; l++) {
    M += values[l];
    sum += values[l] * mu[l];
  }
  const mean = sum / M;
  let squares = 0;
  for (let l = 0; l < mu.length; l++) squares += values[l] * (biased[l] + (mu[l] - mean) ** 2);
  return { mean, variance: squares / (M - 1) };
}
