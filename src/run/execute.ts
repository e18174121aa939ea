/** Runs a specification on a GPU and keeps what it produces in its run folder. */

import { placeDataset } from "../data/feed.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { materialize } from "../nn/model-state.ts";
import { stateDict } from "../nn/state-dict.ts";
import type { RunFolder } from "../storage/run-folder.ts";
import { encodeSafetensors } from "../storage/safetensors.ts";
import { writeTensorBoard } from "../storage/tensorboard.ts";
import { DataError, StoppedError } from "../support/errors.ts";
import { mean } from "../support/statistics.ts";
import { type Position, START } from "../train/checkpoint.ts";
import type { EpochPlan } from "../train/ghosts.ts";
import type { TrainOptions } from "../train/trainer.ts";
import { TrainerSequence } from "../train/trainer-sequence.ts";
import { Checkpointer, type CheckpointOptions, DEFAULT_CHECKPOINTS } from "./checkpointer.ts";
import { dataFingerprint } from "./data-fingerprint.ts";
import { type Divergence, divergenceError, divergenceIn, divergenceOfState } from "./divergence.ts";
import { versions } from "./environment.ts";
import { batchStages } from "./growing-batch.ts";
import { type MetricColumn, writeEvent } from "./metric-lines.ts";
import { factsOf, type PlannedRun } from "./plan-run.ts";
import type { PreparedRun } from "./prepare.ts";
import type { RunCheckpoint } from "./run-checkpoint.ts";
import { RunControl } from "./run-control.ts";
import type { RunSummary } from "./run-summary.ts";
import { specHash } from "./spec-hash.ts";
import { Tally } from "./tally.ts";

export interface Progress {
  readonly step: number;
  readonly totalSteps: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
  readonly loss: number;
  readonly testAccuracy: number | null;
  /** Milliseconds that steps have waited for a streamed data set so far. */
  readonly waitMs?: number;
}

/** How a run is run; nothing here changes its result. */
export interface ExecuteOptions {
  readonly checkpoints?: CheckpointOptions;
  /** Steps between read-backs of the metrics. */
  readonly logEvery?: number;
  readonly control?: RunControl;
  readonly onProgress?: (progress: Progress) => void;
  /** Takes a line that the user should read. */
  readonly report?: (line: string) => void;
}

/** Samples of one evaluation batch: enough to fill a GPU, few enough for any memory. */
export const EVALUATION_BATCH = 500;
/** Steps between read-backs: rare enough not to be seen in the time of a step of a small network. */
const LOG_EVERY = 64;

/**
 * What a trainer is told of a run.
 * @param logEvery steps between read-backs of the metrics
 */
export function trainOptions({ spec, regime, epoch }: PlannedRun, logEvery = LOG_EVERY): TrainOptions {
  return {
    regime,
    epoch,
    partial: spec.partial,
    running: { rule: spec.runningRule, momentum: spec.runningMomentum },
    clipNorm: spec.clipNorm,
    gradientNoise: spec.gradientNoise,
    seed: spec.seed,
    augment: spec.augmentation,
    evaluateEvery: spec.evaluateEvery,
    evaluationBatch: EVALUATION_BATCH,
    logEvery,
    memoryBytes: spec.memory * 2 ** 20,
    skipNonFinite: spec.onNan === "skip",
  };
}

/**
 * Runs to the end, from the start or from a checkpoint.
 * @throws StoppedError when `control` asked for it; DivergenceError for NaN or infinities; DeviceLostError, after which
 *   the run can be executed again on a new device; DataError when the disk refuses
 */
export async function executeRun(
  gpu: Gpu,
  prepared: PreparedRun,
  folder: RunFolder<MetricColumn>,
  options: ExecuteOptions = {},
  from: RunCheckpoint | null = null,
): Promise<RunSummary> {
  const setupStart = performance.now();
  const { logEvery } = options;
  const chosen = gpu.variant;
  gpu.variant = variantOf(from, gpu);
  try {
    const sequence = await createTrainers(gpu, prepared, {
      logEvery,
      slabSamples: from?.content.slabSamples,
    });
    try {
      return await trainInFolder(sequence, prepared, folder, { ...options, setupStart, from });
    } finally {
      sequence.close();
    }
  } finally {
    gpu.variant = chosen;
  }
}

/**
 * The kernel variants of a run: those that it began with, on the same adapter, whatever has been chosen since. Variants add
 * in different orders, and a run goes on to the same bits.
 */
function variantOf(from: RunCheckpoint | null, gpu: Gpu): Gpu["variant"] {
  const before = from?.content.adapter;
  return before?.name === gpu.adapter.name ? (before.variant ?? gpu.variant) : gpu.variant;
}

async function trainInFolder(
  sequence: TrainerSequence,
  prepared: PreparedRun,
  folder: RunFolder<MetricColumn>,
  {
    checkpoints = DEFAULT_CHECKPOINTS,
    control = new RunControl(),
    onProgress,
    report = console.error,
    setupStart,
    from,
  }: ExecuteOptions & { setupStart: number; from: RunCheckpoint | null },
): Promise<RunSummary> {
  const { gpu, totalSteps } = sequence;
  const { spec } = prepared;
  if (from) sequence.keeper.restore(from.tensors, from.path);
  await folder.requireHeld();
  await folder.rewind(from?.content.metrics ?? null);
  await gpu.settle();
  const setupSeconds = (performance.now() - setupStart) / 1000;

  const tally = new Tally(from?.content.tally);
  const sameInAll = {
    format: 1,
    spec,
    specHash: specHash(spec),
    data: dataFingerprint(prepared.dataset),
    slabSamples: sequence.trainers.map(({ slabSamples }) => slabSamples),
    versions: versions(),
    adapter: { ...gpu.adapter, variant: gpu.variant },
  } as const;
  const describe = (position: Position) => ({
    ...sameInAll,
    position,
    metrics: folder.metricsPosition,
    tally: tally.record(),
  });
  const checkpointer = new Checkpointer(folder, sequence, { options: checkpoints, describe });
  await checkpointer.begin(from);
  try {
    return await trainToSummary();
  } finally {
    // Whatever ended it: what follows closes the folder, or reads its checkpoints.
    await checkpointer.idle();
  }

  async function trainToSummary(): Promise<RunSummary> {
    let divergence: Divergence | null = null;
    let stoppedAt: number | null = control.stop ? (from?.content.position.step ?? 0) : null;
    const afterStep = async (position: Position) => {
      if (divergence) return false;
      const { best } = tally;
      const goesOn = await checkpointer.afterStep(
        position,
        best?.step === position.step ? best : null,
        control,
      );
      if (!goesOn) stoppedAt = position.step;
      return goesOn;
    };
    for await (const event of stoppedAt === null
      ? sequence.run(from?.content.position ?? START, afterStep)
      : []) {
      tally.add(event);
      const step = event.kind === "metrics" ? event.steps.at(-1)!.step : event.step;
      const { seconds } = tally;
      const imagesPerSecond = sequence.samplesAt(step) / seconds;
      writeEvent(folder, event, imagesPerSecond);
      divergence = divergenceIn(event, { onNan: spec.onNan, tally, report });
      const secondsLeft = (seconds / step) * (totalSteps - step);
      const testAccuracy = tally.evaluations.at(-1)?.accuracy ?? null;
      const { waitMs } = sequence;
      onProgress?.({
        step,
        totalSteps,
        imagesPerSecond,
        secondsLeft,
        loss: tally.loss,
        testAccuracy,
        waitMs,
      });
      if (divergence) break;
    }
    await checkpointer.settle();
    if (stoppedAt !== null && !checkpointer.stateIsFinite) divergence ??= divergenceOfState(stoppedAt);
    if (divergence)
      throw await divergenceError(sequence, { divergence, folder: folder.path, spec, report, control });
    if (stoppedAt !== null) throw stopped(control, { step: stoppedAt, totalSteps, folder: folder.path });

    await folder.write("weights.safetensors", encodeSafetensors(await stateDict(sequence.state)));
    await checkpointer.writeBest();
    const { seconds, testLoss, skippedSteps, distance } = tally;
    const samples = sequence.samplesAt(totalSteps);
    const { plan, options } = sequence.trainers[0]!;
    const accuracies = tally.evaluations.map(({ accuracy }) => accuracy);
    const summary: RunSummary = {
      accuracy: accuracies.at(-1)!,
      best: tally.best!.accuracy,
      bestStep: tally.best!.step,
      lastFive: mean(accuracies.slice(-5)),
      testLoss,
      steps: totalSteps,
      skippedSteps,
      samples,
      flops: sequence.flops,
      seconds,
      setupSeconds,
      imagesPerSecond: samples / seconds,
      ...distance,
      batchNormGroup: (options.epoch.full ?? options.epoch.last).ghostSize,
      slabSamples: Math.max(...sameInAll.slabSamples),
      dispatchesPerStep: plan.dispatches,
      gpuBytes: gpu.allocatedBytes,
    };
    // Before the outcome, so that a process killed between the two makes it again.
    await unlessRefused(writeTensorBoard(folder.path), report);
    await folder.finish(summary);
    await unlessRefused(checkpointer.finish(), report);
    return summary;
  }
}

/**
 * How a streamed data set is read for a run; the window is in images.
 * @param epochs the batches that it is read in, where these are not the run's alone
 */
export function dataOptions({ spec, epoch }: PlannedRun, epochs: readonly EpochPlan[] = [epoch]) {
  const train = Math.max(...epochs.map(({ full, last }) => Math.max(full?.total ?? 0, last.total)));
  return { seed: spec.seed, augment: spec.augmentation, window: { train, test: EVALUATION_BATCH } };
}

/** Puts model and data on the GPU and records the steps. */
async function createTrainers(
  gpu: Gpu,
  prepared: PreparedRun,
  { logEvery, slabSamples }: { logEvery: number | undefined; slabSamples: readonly number[] | undefined },
): Promise<TrainerSequence> {
  const { spec, dataset, model } = prepared;
  const stages = batchStages(prepared, factsOf(dataset));
  const epochs = stages.map(({ epoch }) => epoch);
  const ghosts = epochs.map(({ full, last }) => Math.max(full?.ghosts ?? 0, last.ghosts));
  const state = materialize(gpu, model, { seed: spec.seed, maximumGhosts: Math.max(...ghosts) });
  const data = await placeDataset(gpu, dataset, dataOptions(prepared, epochs));
  const options = stages.map((stage, i) => {
    return { ...trainOptions(stage, logEvery), slabSamples: slabSamples?.[i] };
  });
  return TrainerSequence.create(gpu, state, data, options);
}

/** Awaits what a finished run can do without: a disk that refuses it is told. */
async function unlessRefused(done: Promise<unknown>, report: (line: string) => void): Promise<void> {
  await done.catch((error: unknown) => {
    if (!(error instanceof DataError)) throw error;
    report(`warning: ${error.message}`);
  });
}

function stopped(
  control: RunControl,
  { step, totalSteps, folder }: { step: number; totalSteps: number; folder: string },
): StoppedError {
  const { by, exitCode } = control.stop!;
  return new StoppedError(
    `stopped by ${by} after step ${step} of ${totalSteps}; go on with: ${control.resumeCommand(folder)}`,
    exitCode,
  );
}
