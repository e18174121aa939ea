/**
 * Growing the batch instead of cutting the learning rate (Smith, Kindermans, Ying, Le 2018, "Don't decay the learning rate,
 * increase the batch size"): the noise of SGD is about η·N / (B·(1 − m)), so where a regime divides η by k, B times k
 * does the same with fewer steps. The ghosts stay those of the first batch, so batch norm does not notice. Where the batch has reached a tenth
 * of the data, the bound of that paper, the rate is cut after all.
 */

import { UsageError } from "../support/errors.ts";
import { type BaseRegime, namedRegime, overrideRegime, scaleEpochs } from "../train/base-regimes.ts";
import { type DataFacts, type PlannedRun, planRun } from "./plan-run.ts";
import { completeSpec, ghostSizeOf, type RunSpec } from "./run-spec.ts";

/** The largest batch is this part of the data (Smith et al. 2018, section 5). */
const LARGEST_PART = 0.1;

/**
 * The stages of a run: runs of one batch size each, in order, that train its model one after the other. Only the run
 * itself where the batch does not grow.
 * @throws as planRun; UsageError where the batch grows and something else rules rates or length as well
 */
export function batchStages(run: PlannedRun, facts: DataFacts): PlannedRun[] {
  const { spec, model } = run;
  if (!spec.batchGrowth) return [run];
  requireAlone(spec);
  const stages: PlannedRun[] = [];
  let { maxSteps } = spec; // left for the stages to come
  for (const stage of growthStages(spec, facts.count)) {
    if (maxSteps === 0) break;
    const planned = { ...planRun({ ...stage, maxSteps }, facts), model };
    stages.push(planned);
    if (maxSteps !== undefined) maxSteps -= planned.regime.totalSteps;
  }
  return stages;
}

/** What else rules rates and length would be applied to each stage by itself, which is none of these methods. */
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
  // A multiple of the first batch, so that the last batch of an epoch is no handful of samples.
  const multiple = Math.max(1, Math.floor((samples * LARGEST_PART) / spec.batchSize));
  const largest = multiple * spec.batchSize;
  let current = { learningRate: 0, momentum: 0, weightDecay: 0 };
  let highest = 0;
  return base.entries.flatMap((entry, i) => {
    current = { ...current, ...definedOf(entry) };
    // A cut is one from the highest rate so far: where a regime begins low, its rise is a rise of the rate alone.
    highest = Math.max(highest, current.learningRate);
    const end = Math.min(base.entries[i + 1]?.epoch ?? base.epochs, base.epochs);
    if (end <= entry.epoch) return [];
    const batchSize = Math.min(largest, Math.round((spec.batchSize * highest) / current.learningRate));
    // What the batch cannot grow by any more is cut from the rate.
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
      // Samples come in another order in each stage.
      seed: (spec.seed + STAGE_SEED * i) % 2 ** 32,
    });
  });
}

/** Odd and large, so that the stages of one seed do not meet those of the next. */
const STAGE_SEED = 0x9e3779b1;

function definedOf({ learningRate, momentum, weightDecay }: BaseRegime["entries"][number]) {
  return {
    ...(learningRate !== undefined && { learningRate }),
    ...(momentum !== undefined && { momentum }),
    ...(weightDecay !== undefined && { weightDecay }),
  };
}
