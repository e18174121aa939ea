/** Runs a specification on a GPU and keeps what it produces in its run folder. */
import { placeDataset } from "../data/feed.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { materialize } from "../nn/model-state.ts";
import { stateDict } from "../nn/state-dict.ts";
import type { RunFolder } from "../storage/run-folder.ts";
import { writeSafetensors } from "../storage/safetensors.ts";
import { StoppedError } from "../support/errors.ts";
import { type Position, START } from "../train/checkpoint.ts";
import { type TrainEvent, Trainer, type TrainOptions } from "../train/trainer.ts";
import { Checkpointer, type CheckpointOptions, DEFAULT_CHECKPOINTS } from "./checkpointer.ts";
import { dataFingerprint } from "./data-fingerprint.ts";
import { type Divergence, divergenceError, divergenceIn } from "./divergence.ts";
import { versions } from "./environment.ts";
import type { PreparedRun } from "./prepare.ts";
import type { RunCheckpoint } from "./run-checkpoint.ts";
import { RunControl } from "./run-control.ts";
import { specHash } from "./run-spec.ts";
import type { RunSummary } from "./run-summary.ts";
import { Tally } from "./tally.ts";

export const METRIC_COLUMNS = [
  "kind",
  "step",
  "epoch",
  "loss",
  "accuracy",
  "accuracyTop5",
  "gradientNorm",
  "clipCoefficient",
  "learningRate",
  "distanceFirst",
  "distanceAll",
  "testLoss",
  "testAccuracy",
  "testAccuracyTop5",
  "imagesPerSecond",
] as const;
export type MetricColumn = (typeof METRIC_COLUMNS)[number];

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

export function trainOptions(
  { spec, regime, epoch }: Omit<PreparedRun, "dataset">,
  logEvery = LOG_EVERY,
): TrainOptions {
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
  const trainer = await createTrainer(gpu, prepared, { logEvery, slabSamples: from?.content.slabSamples });
  try {
    return await runTrainer(trainer, prepared, folder, { ...options, setupStart, from });
  } finally {
    trainer.close();
  }
}

async function runTrainer(
  trainer: Trainer,
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
  const { gpu } = trainer;
  const { spec, regime, epoch } = prepared;
  if (from) trainer.keeper.restore(from.tensors, from.path);
  folder.rewind(from?.content.metrics ?? null);
  await gpu.settle();
  const setupSeconds = (performance.now() - setupStart) / 1000;

  const tally = new Tally(from?.content.tally);
  const { totalSteps } = regime;
  const samplesAt = (step: number) => samplesSeen(prepared, step);
  const described = {
    format: 1,
    spec,
    specHash: specHash(spec),
    data: dataFingerprint(prepared.dataset),
    slabSamples: trainer.slabSamples,
    versions: versions(),
    adapter: { ...gpu.adapter, variant: gpu.variant },
  } as const;
  const describe = (position: Position) => ({
    ...described,
    position,
    metrics: folder.metricsPosition,
    tally: tally.record(),
  });
  const checkpointer = new Checkpointer(folder, trainer, { options: checkpoints, describe });
  await checkpointer.begin(from);
  try {
    return await trainAndSum();
  } finally {
    // Whatever ended it: what follows closes the folder, or reads its checkpoints.
    await checkpointer.idle();
  }

  async function trainAndSum(): Promise<RunSummary> {
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
      ? trainer.run(from?.content.position ?? START, afterStep)
      : []) {
      tally.add(event);
      const step = event.kind === "metrics" ? event.steps.at(-1)!.step : event.step;
      const { seconds } = tally;
      const imagesPerSecond = samplesAt(step) / seconds;
      writeEvent(folder, event, imagesPerSecond);
      if (event.kind === "metrics") {
        divergence = divergenceIn(event, { onNan: spec.onNan, tally, report });
      }
      const secondsLeft = (seconds / step) * (totalSteps - step);
      const testAccuracy = tally.evaluations.at(-1)?.accuracy ?? null;
      const { waitMs } = trainer;
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
    if (divergence) throw await divergenceError(trainer, { divergence, folder: folder.path, spec, report });
    if (stoppedAt !== null) throw stopped(control, { step: stoppedAt, totalSteps, folder: folder.path });

    await folder.settle();
    await writeSafetensors(folder.file("weights.safetensors"), await stateDict(trainer.state));
    await checkpointer.writeBest();
    const { seconds, testLoss, skippedSteps, distance } = tally;
    const samples = samplesAt(totalSteps);
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
      flops: (trainer.plan.cost.flops * samples) / (epoch.full ?? epoch.last).total,
      seconds,
      setupSeconds,
      imagesPerSecond: samples / seconds,
      ...distance,
      batchNormGroup: (epoch.full ?? epoch.last).ghostSize,
      slabSamples: trainer.slabSamples,
      dispatchesPerStep: trainer.plan.dispatches,
      gpuBytes: gpu.allocatedBytes,
    };
    await folder.finish(summary);
    await checkpointer.finish();
    return summary;
  }
}

/** How a streamed data set is read for a run. */
export function dataOptions({ spec, epoch }: PreparedRun) {
  const largest = Math.max(epoch.full?.total ?? 0, epoch.last.total);
  return { seed: spec.seed, augment: spec.augmentation, window: { train: largest, test: EVALUATION_BATCH } };
}

/** Puts model and data on the GPU and records the steps. */
async function createTrainer(
  gpu: Gpu,
  prepared: PreparedRun,
  { logEvery, slabSamples }: { logEvery: number | undefined; slabSamples: number | undefined },
): Promise<Trainer> {
  const { spec, dataset, model, epoch } = prepared;
  const maximumGhosts = Math.max(epoch.full?.ghosts ?? 0, epoch.last.ghosts);
  const state = materialize(gpu, model, { seed: spec.seed, maximumGhosts });
  return Trainer.create(gpu, state, await placeDataset(gpu, dataset, dataOptions(prepared)), {
    ...trainOptions(prepared, logEvery),
    slabSamples,
  });
}

function writeEvent(folder: RunFolder<MetricColumn>, event: TrainEvent, imagesPerSecond: number): void {
  if (event.kind === "evaluation") {
    const { step, epoch, loss, accuracy, accuracyTop5 } = event;
    folder.append({
      kind: "evaluation",
      step,
      epoch,
      testLoss: loss,
      testAccuracy: accuracy,
      testAccuracyTop5: accuracyTop5,
    });
    return;
  }
  const distanceAt = new Map(event.distances.map(({ step, ...values }) => [step, values]));
  for (const metrics of event.steps) {
    folder.append({ kind: "train", ...metrics, ...distanceAt.get(metrics.step), imagesPerSecond });
  }
}

function samplesSeen({ epoch, regime }: PreparedRun, step: number): number {
  const { full, last } = epoch;
  const { stepsPerEpoch } = regime;
  const perEpoch = (stepsPerEpoch - 1) * (full?.total ?? 0) + last.total;
  return Math.floor(step / stepsPerEpoch) * perEpoch + (step % stepsPerEpoch) * (full?.total ?? 0);
}

function stopped(
  control: RunControl,
  { step, totalSteps, folder }: { step: number; totalSteps: number; folder: string },
): StoppedError {
  const { by, exitCode } = control.stop!;
  return new StoppedError(
    `stopped by ${by} after step ${step} of ${totalSteps}; go on with: ghostbatch train --resume ${folder}`,
    exitCode,
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
