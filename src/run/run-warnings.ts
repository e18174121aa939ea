/** Warnings before a run begins: it can run, but its result may not be what the user expects. */
import { constantChannels } from "../data/dataset.ts";
import { formatPercent } from "../support/format.ts";
import type { GhostLayout } from "../train/ghosts.ts";
import { batchStages } from "./growing-batch.ts";
import { type DataFacts, factsOf, type PlannedRun } from "./plan-run.ts";
import type { PreparedRun } from "./prepare.ts";
import type { RunSpec } from "./run-spec.ts";

/** Fraction of the initial running statistics above which accuracy largely reflects how few updates they had. */
export const MUCH_RETAINED = 0.05;

/**
 * The weight that the initial running statistics, mean 0 and variance 1, still have after the last step:
 *
 *   Π over steps of (1 − a)^K      K ghosts, of which each is an update of weight a; composer: (1 − a/K)^K; paper-literal: (1 − a)^S
 */
export function retainedStatistics({
  spec,
  epoch,
  regime,
}: Pick<PlannedRun, "spec" | "epoch" | "regime">): number {
  const { stepsPerEpoch, totalSteps } = regime;
  const lastSteps = Math.floor(totalSteps / stepsPerEpoch);
  const last = retainedByStep(spec, epoch.last) ** lastSteps;
  return last * (epoch.full ? retainedByStep(spec, epoch.full) ** (totalSteps - lastSteps) : 1);
}

function retainedByStep(
  { runningRule, runningMomentum: a }: RunSpec,
  { ghosts, ghostSize }: GhostLayout,
): number {
  if (runningRule === "composer") return (1 - a / ghosts) ** ghosts;
  return (1 - a) ** (runningRule === "paper-literal" ? ghostSize : ghosts);
}

/** For a run whose batch grows, after its last stage. */
export function retainedByStages(stages: readonly PlannedRun[]): number {
  return stages.reduce((share, stage) => share * retainedStatistics(stage), 1);
}

/** Warnings that need no data: about ghosts and running statistics. One sentence each. */
export function planWarnings(run: PlannedRun, facts: DataFacts): string[] {
  const { epoch, spec } = run;
  const warnings = new Set([...(epoch.full?.warnings ?? []), ...epoch.last.warnings]);
  const retained = retainedByStages(batchStages(run, facts));
  if (retained > MUCH_RETAINED && spec.reestimateStatistics === 0) warnings.add(describeRetained(retained));
  return [...warnings];
}

/** One sentence each. */
export function runWarnings(run: PreparedRun): string[] {
  const { dataset } = run;
  const warnings = new Set(planWarnings(run, factsOf(dataset)));
  for (const channel of constantChannels(dataset.normalization)) {
    warnings.add(
      `${dataset.name}: channel ${channel} (counted from 0) has the same value in all training images; it is normalized to 0`,
    );
  }
  return [...warnings];
}

function describeRetained(retained: number): string {
  return (
    `${formatPercent(retained, 0)} of the initial running statistics (mean 0, variance 1) is left after the last step: ` +
    "the test accuracy partly reflects how few updates they had; train longer, raise --running-momentum, or use --reestimate-statistics"
  );
}
