/** Runs a specification on a GPU and keeps what it produces in its run folder. */
import { uploadDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { materialize } from "../nn/model-state.ts";
import { stateDict } from "../nn/state-dict.ts";
import type { RunFolder } from "../storage/run-folder.ts";
import { writeSafetensors } from "../storage/safetensors.ts";
import { DeviceError } from "../support/errors.ts";
import { type TrainEvent, Trainer, type TrainOptions } from "../train/trainer.ts";
import type { PreparedRun } from "./prepare.ts";

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

/** What a finished run says; percentages are of the test split. */
export interface RunSummary {
  readonly accuracy: number;
  readonly best: number;
  /** Mean over the last five evaluations. */
  readonly lastFive: number;
  readonly testLoss: number;
  readonly steps: number;
  /** Training samples seen. */
  readonly samples: number;
  /** Floating-point operations of the training steps. */
  readonly flops: number;
  /** Wall time of training and evaluation, without set-up and compilation. */
  readonly seconds: number;
  readonly setupSeconds: number;
  readonly imagesPerSecond: number;
  readonly distanceFirst: number;
  readonly distanceAll: number;
  readonly batchNormGroup: number;
  readonly slabSamples: number;
  readonly dispatchesPerStep: number;
  readonly gpuBytes: number;
}

export interface Progress {
  readonly step: number;
  readonly totalSteps: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
  readonly loss: number;
  readonly testAccuracy: number | null;
}

/** Bytes that the tensors of one step may take unless said otherwise: what a small GPU has to spare. */
export const DEFAULT_MEMORY_BYTES = 2 * 2 ** 30;

export function trainOptions({ spec, regime, epoch }: PreparedRun, memoryBytes = DEFAULT_MEMORY_BYTES): TrainOptions {
  return {
    regime,
    epoch,
    partial: spec.partial,
    running: { rule: spec.runningRule, momentum: spec.runningMomentum },
    clipNorm: spec.clipNorm,
    seed: spec.seed,
    augment: spec.augmentation,
    evaluateEvery: spec.evaluateEvery,
    evaluationBatch: Math.min(EVALUATION_BATCH, 1024),
    logEvery: LOG_EVERY,
    memoryBytes,
  };
}

/** Samples of one evaluation batch: enough to fill a GPU, few enough for any memory. */
const EVALUATION_BATCH = 500;
/** Steps between read-backs: rare enough not to be seen in the time of a step of a small network. */
const LOG_EVERY = 64;

export async function executeRun(
  gpu: Gpu,
  prepared: PreparedRun,
  folder: RunFolder<MetricColumn>,
  { memoryBytes, onProgress }: { memoryBytes?: number; onProgress?: (progress: Progress) => void } = {},
): Promise<RunSummary> {
  const setupStart = performance.now();
  const trainer = await createTrainer(gpu, prepared, memoryBytes);
  const { totalSteps, stepsPerEpoch } = prepared.regime;
  await gpu.settle();

  const start = performance.now();
  const seconds = () => (performance.now() - start) / 1000;
  const samplesAt = (step: number) => samplesSeen(prepared, step);
  const accuracies: number[] = [];
  let loss = Number.NaN;
  let testLoss = Number.NaN;
  let distance = { distanceFirst: 0, distanceAll: 0 };
  for await (const event of trainer.run()) {
    if (event.kind === "metrics") {
      for (const step of event.steps) requireFinite(step.step, step.loss, step.gradientNorm);
      writeMetrics(folder, event, samplesAt(event.steps.at(-1)!.step) / seconds());
      loss = event.steps.at(-1)!.loss;
      distance = event.distances.at(-1) ?? distance;
    } else {
      accuracies.push(event.accuracy);
      testLoss = event.loss;
      const { step, epoch } = event;
      folder.append({ kind: "evaluation", step, epoch, testLoss, testAccuracy: event.accuracy, testAccuracyTop5: event.accuracyTop5 });
    }
    const step = event.kind === "metrics" ? event.steps.at(-1)!.step : event.step;
    const elapsed = seconds();
    onProgress?.({
      step,
      totalSteps,
      imagesPerSecond: samplesAt(step) / elapsed,
      secondsLeft: (elapsed / step) * (totalSteps - step),
      loss,
      testAccuracy: accuracies.at(-1) ?? null,
    });
  }
  await writeSafetensors(folder.file("weights.safetensors"), await stateDict(trainer.state));
  const elapsed = seconds();
  const samples = samplesAt(totalSteps);
  const summary: RunSummary = {
    accuracy: accuracies.at(-1)!,
    best: Math.max(...accuracies),
    lastFive: mean(accuracies.slice(-5)),
    testLoss,
    steps: totalSteps,
    samples,
    flops: (trainer.plan.cost.flops * samples) / (prepared.epoch.full ?? prepared.epoch.last).total,
    seconds: elapsed,
    setupSeconds: (start - setupStart) / 1000,
    imagesPerSecond: samples / elapsed,
    ...distance,
    batchNormGroup: (prepared.epoch.full ?? prepared.epoch.last).ghostSize,
    slabSamples: trainer.slabSamples,
    dispatchesPerStep: trainer.plan.dispatches,
    gpuBytes: gpu.allocatedBytes,
  };
  await folder.finish(summary);
  return summary;

  function samplesSeen({ epoch }: PreparedRun, step: number): number {
    const { full, last } = epoch;
    const perEpoch = (stepsPerEpoch - 1) * (full?.total ?? 0) + last.total;
    return Math.floor(step / stepsPerEpoch) * perEpoch + (step % stepsPerEpoch) * (full?.total ?? 0);
  }
}

/** Puts model and data on the GPU and records the steps. */
export async function createTrainer(gpu: Gpu, prepared: PreparedRun, memoryBytes?: number): Promise<Trainer> {
  const { spec, dataset, model, epoch } = prepared;
  const maximumGhosts = Math.max(epoch.full?.ghosts ?? 0, epoch.last.ghosts);
  const state = materialize(gpu, model, { seed: spec.seed, maximumGhosts });
  return Trainer.create(gpu, state, uploadDataset(gpu, dataset), trainOptions(prepared, memoryBytes));
}

function writeMetrics(
  folder: RunFolder<MetricColumn>,
  { steps, distances }: Extract<TrainEvent, { kind: "metrics" }>,
  imagesPerSecond: number,
): void {
  const distanceAt = new Map(distances.map(({ step, ...values }) => [step, values]));
  for (const metrics of steps) {
    folder.append({ kind: "train", ...metrics, ...distanceAt.get(metrics.step), imagesPerSecond });
  }
}

function requireFinite(step: number, loss: number, gradientNorm: number): void {
  if (Number.isFinite(loss) && Number.isFinite(gradientNorm)) return;
  throw new DeviceError(
    `step ${step}: the loss is ${loss} and the gradient norm ${gradientNorm}; the run has diverged (try a smaller learning rate, or a clip norm)`,
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
