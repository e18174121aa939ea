/** Running statistics of ghost batch norm, with which evaluation normalizes. */
import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Ghosts } from "./ghost-batch-norm-geometry.ts";
import { OWN_SUM_LANES } from "./reduction-tiles.ts";

const RUNNING_STATISTICS = defineKernel({
  file: "ghost-batch-norm/running-statistics.wgsl",
  bindings: ["statistics", "pixels", "runningMean", "runningVariance"],
  overrides: ["RULE", "DEVIATION", "WG_SIZE"],
  params: ["ghost_size", "ghosts", "total", "total_channels", "momentum", "retained", "eps"],
});

/**
 * How running statistics follow those of the ghosts, K ghosts a step and a = momentum:
 * - `sequential`: one average of weight a after the other, as K calls of ordinary batch norm do (the released code);
 * - `composer`: the same with a / K;
 * - `mean`: of the ghosts' mean, with weight 1 − (1 − a)^K: free of order, less noise;
 * - `full`: of the statistics of the whole batch, with that weight;
 * - `paper-literal`: Algorithm 1 as printed; biased, since its weights do not add up to 1.
 */
export type RunningRule = "sequential" | "mean" | "full" | "composer" | "paper-literal";

const RULES: Record<RunningRule, number> = {
  sequential: 0,
  composer: 0,
  mean: 1,
  full: 2,
  "paper-literal": 3,
};

/**
 * Updates the running statistics of all layers in one dispatch; formulas in the kernel's file. Variances are unbiased,
 * v · n / (n − 1), but for `paper-literal`.
 *
 * @param t.statistics      [rows ≥ K, totalChannels, 2] of the whole batch
 * @param t.pixels          [totalChannels] u32: HW of each channel's layer
 * @param t.runningMean     [totalChannels], updated
 * @param t.runningVariance [totalChannels], updated
 * @param t.ghosts          of the whole batch, whatever slabs it was processed in
 * @param options.momentum  a, weight of a new value
 * @param options.eps       what `paper-literal` adds to a variance before it takes the root
 * @param options.averageDeviation averages standard deviations instead of variances; off by default, as in all implementations
 */
export function launchRunningStatistics(
  t: { statistics: Tensor; pixels: Tensor; runningMean: Tensor; runningVariance: Tensor; ghosts: Ghosts },
  options: { rule: RunningRule; momentum: number; eps?: number; averageDeviation?: boolean },
): void {
  const { statistics, pixels, runningMean, runningVariance } = t;
  const { ghostSize, ghosts, total } = t.ghosts;
  const { rule, momentum, eps = 1e-5, averageDeviation = false } = options; // 1e-5: PyTorch's default, the authors'
  const totalChannels = runningMean.size;
  const WG_SIZE = OWN_SUM_LANES[statistics.gpu.baseVariant];
  statistics.gpu.run(RUNNING_STATISTICS, {
    buffers: { statistics, pixels, runningMean, runningVariance },
    overrides: { RULE: RULES[rule], DEVIATION: averageDeviation || rule === "paper-literal", WG_SIZE },
    params: {
      ghost_size: ghostSize,
      ghosts,
      total,
      total_channels: totalChannels,
      momentum: rule === "composer" ? momentum / ghosts : momentum,
      retained: (1 - momentum) ** (rule === "paper-literal" ? ghostSize : ghosts),
      eps,
    },
    workgroups: [Math.ceil(totalChannels / WG_SIZE)],
    cost: { flops: 6 * ghosts * totalChannels, bytes: 4 * totalChannels * (2 * ghosts + 5) },
  });
}
