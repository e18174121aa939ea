/** Converts a run's plan to options of the trainer and of its data. */
import { lossScaleOf } from "../train/precision.ts";
import type { TrainOptions } from "../train/trainer.ts";
import type { PlannedRun } from "./plan-run.ts";
import type { RunSpec } from "./run-spec.ts";

/** Samples in an evaluation batch: enough to fill a GPU, few enough for any memory. */
export const EVALUATION_BATCH = 500;
/** Steps between read-backs: rare enough not to slow down a small network. */
const LOG_EVERY = 64;

/**
 * The trainer's options for a run.
 * @param logEvery steps between read-backs of the metrics
 */
export function trainerOptions({ spec, regime, epoch }: PlannedRun, logEvery = LOG_EVERY): TrainOptions {
  return {
    regime,
    epoch,
    partial: spec.partial,
    running: { rule: spec.runningRule, momentum: spec.runningMomentum },
    clipNorm: spec.clipNorm,
    gradientNoise: spec.gradientNoise,
    seed: spec.seed,
    augmentation: spec.augmentation,
    evaluateEvery: spec.evaluateEvery,
    evaluationBatch: EVALUATION_BATCH,
    logEvery,
    memoryBytes: spec.memory * 2 ** 20,
    onNan: spec.onNan,
    lossScale: lossScaleOfRun(spec),
    shards: spec.shards,
  };
}

/** Loss scale of a run, or of a stage of a growing batch: 1 in f32. */
export function lossScaleOfRun({ precision, lossScale, batchSize }: RunSpec): number {
  return precision === "f32" ? 1 : (lossScale ?? lossScaleOf(batchSize));
}

/**
 * How a streamed data set is read for a run; the window is in images.
 * @param batches images read at once for each batch, if not the run's whole batches
 */
export function dataOptions({ spec, epoch }: PlannedRun, batches: readonly number[] = [epoch.largest.total]) {
  const window = { train: Math.max(...batches), test: EVALUATION_BATCH };
  return { seed: spec.seed, augmentation: spec.augmentation, mirroring: spec.mirroring, window };
}
