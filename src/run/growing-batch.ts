/**
 * Growing the batch instead of cutting the learning rate (Smith, Kindermans, Ying, Le 2018, "Don't decay the learning rate,
 * increase the batch size"): the noise of SGD is about η·N / (B·(1 − m)), so instead of dividing η by k, multiplying B by k
 * has the same effect with fewer steps. The ghost size stays that of the first batch, so batch norm is unaffected. Once the batch reaches a tenth
 * of the data, the limit in that paper, the rate is cut after all.
 */

import { UsageError } from "../support/errors.ts";
import { type BaseRegime, namedRegime, overrideRegime, scaleEpochs } from "../train/base-regimes.ts";
import { type DataFacts, type PlannedRun, planRun } from "./plan-run.ts";
import { completeSpec, ghostSizeOf, type RunSpec } from "./run-spec.ts";

/** Largest batch as a fraction of the data (Smith et al. 2018, section 5). */
const LARGEST_PART = 0.1;

/**
 * The stages of a run: runs of one batch size each, which train its model in sequence. Only the run
 * itself if the batch does not grow.
 * @throws as planRun; UsageError if the batch grows and another option controls rates or length
 */
export function batchStages(run: PlannedRun, facts: DataFacts): PlannedRun[] {
  const { spec, model } = run;
  if (!spec.batchGrowth) return [run];
  requireAlone(spec);
  const stages: PlannedRun[] = [];
  let { maxSteps } = spec; // remaining for later stages
  for (const stage of growthStages(spec, facts.count)) {
    if (maxSteps === 0) break;
    const planned = { ...planRun({ ...stage, maxSteps }, facts), model };
    stages.push(planned);
    if (maxSteps !== undefined) maxSteps -= planned.regime.totalSteps;
  }
  return stages;
}

/** Other options for rates and length would apply to each stage separately, which is none of these methods. */
function requireAlone({ learningRateRule, regime, constantRate }: RunSpec): void {
  const others = Object.entries({
    "--lr-rule": learningRateRule !== "none",
    "--regime": regime !== "original",
    "--constant-rate": constantRate,
  });
  for (const [option, given] of others) {
    if (given) throw new UsageError(`--batch-growth: it replaces the rate cuts; omit ${option}`);
  }
}

/** One batch size and one rate each, in order. */
function growthStages(spec: RunSpec, samples: number): RunSpec[] {
  const { learningRate, momentum, weightDecay, epochs, epochScale, baseRegime, ...rest } = spec;
  const overridden = overrideRegime(namedRegime(spec), {
    learningRate,
    momentum,
    weightDecay,
    epochs,
  });
  const base = scaleEpochs(overridden, epochScale);
  // A multiple of the first batch, so that the last batch of an epoch is not tiny.
  const multiple = Math.max(1, Math.floor((samples * LARGEST_PART) / spec.batchSize));
  const largest = multiple * spec.batchSize;
  let current = { learningRate: 0, momentum: 0, weightDecay: 0 };
  let highest = 0;
  return base.entries.flatMap((entry, i) => {
    current = { ...current, ...definedOf(entry) };
    // Cuts are relative to the highest rate so far: if a regime starts low, its rise changes only the rate.
    highest = Math.max(highest, current.learningRate);
    const end = Math.min(base.entries[i + 1]?.epoch ?? base.epochs, base.epochs);
    if (end <= entry.epoch) return [];
    const batchSize = Math.min(largest, Math.round((spec.batchSize * highest) / current.learningRate));
    // Beyond the largest batch, the rate is cut.
    const rate = (current.learningRate * batchSize) / spec.batchSize;
    return completeSpec({
      ...rest,
      baseRegime,
      constantRate: true,
      batchGrowth: false,
      batchSize,
      ghostSize: ghostSizeOf(spec),
      learningRate: rate,
      momentum: current.momentum,
      weightDecay: current.weightDecay,
      epochs: end - entry.epoch,
      // Each stage has its own order of samples.
      seed: (spec.seed + STAGE_SEED * i) % 2 ** 32,
    });
  });
}

/** Odd and large, so that the stages of one seed do not coincide with those of the next. */
const STAGE_SEED = 0x9e3779b1;

function definedOf({ learningRate, momentum, weightDecay }: BaseRegime["entries"][number]) {
  return {
    ...(learningRate !== undefined && { learningRate }),
    ...(momentum !== undefined && { momentum }),
    ...(weightDecay !== undefined && { weightDecay }),
  };
}
