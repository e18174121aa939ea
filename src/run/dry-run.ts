/** What a run needs, found by recording its step without running it. */
import { isStreamed, outlineDataset } from "../data/dataset-forms.ts";
import { isImageDataset } from "../data/feed.ts";
import { bucketBytes } from "../gpu/buffer-pool.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { arenaBytes } from "../gpu/recording.ts";
import { modelLabel } from "../models/index.ts";
import { parameterCount } from "../nn/module.ts";
import { CapacityError, DeviceError } from "../support/errors.ts";
import { formatBytes, formatCount, formatPercent, formatQuantity } from "../support/format.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type EpochPlan, type GhostLayout, samplesOfSteps } from "../train/ghosts.ts";
import { requirePrecision } from "../train/precision.ts";
import { learningRateTable } from "../train/regime.ts";
import { chooseEvaluationBatch } from "../train/slab-size.ts";
import { slabOfEpoch } from "../train/step-recordings.ts";
import { batchStages } from "./growing-batch.ts";
import { outlineStep } from "./outlined-step.ts";
import { type DataFacts, factsOf, type PlannedRun, planRun } from "./plan-run.ts";
import type { PreparedRun } from "./prepare.ts";
import type { RunSpec } from "./run-spec.ts";
import { retainedByStages } from "./run-warnings.ts";
import { dataOptions, lossScaleOfRun, trainerOptions } from "./trainer-options.ts";

export interface TrainingPlan {
  readonly model: string;
  readonly dataset: string;
  readonly adapter: string;
  /** Parts of the model that the adapter cannot hold, one sentence each; such a run cannot start there. */
  readonly refused: readonly string[];
  readonly parameters: number;
  /** Bytes of parameters, gradients, velocity, initial parameters and batch-norm statistics. */
  readonly stateBytes: number;
  /** Bytes of the images on the GPU. */
  readonly dataBytes: number;
  /** Bytes of the tensors of a step and of an evaluation, which share memory if not alive at the same time. */
  readonly stepBytes: number;
  /** The type in which activations are stored. */
  readonly precision: RunSpec["precision"];
  /** The loss scale of each stage of a run whose batch grows; 1 in f32. */
  readonly lossScales: readonly number[];
  /** Bytes that the kernels of a step read and write, if each accesses its tensors once. */
  readonly bytesPerStep: number;
  /** Operations of a step per byte of traffic. */
  readonly flopsPerByte: number;
  /** Bytes of the staging copies from which checkpoints and final weights are read. */
  readonly copyBytes: number;
  readonly slabSamples: number;
  readonly ghosts: string;
  readonly dispatchesPerStep: number;
  /** Operations of convolutions and linear layers, forward and backward; a multiply-add is 2. */
  readonly flopsPerSample: number;
  readonly steps: number;
  readonly epochs: number;
  readonly samples: number;
  readonly flops: number;
  readonly learningRates: readonly string[];
  /** Fraction of the initial running statistics, mean 0 and variance 1, that is left after the last step. */
  readonly retainedStatistics: number;
}

/** What a plan needs to know of the data: their facts, and how many bytes of images will be on the GPU. */
export interface PlannedData {
  readonly facts: DataFacts;
  readonly bytes: number;
}

/** The data of a prepared run. */
export function plannedData(run: PreparedRun): PlannedData {
  const { dataset } = run;
  const facts = factsOf(dataset);
  const bytes = isImageDataset(dataset)
    ? dataset.train.images.byteLength + dataset.test.images.byteLength
    : windowBytes(run, facts);
  return { facts, bytes };
}

/** The data of a run from official facts alone; null if only the files tell. */
export function outlinedData(spec: RunSpec): PlannedData | null {
  const outline = outlineDataset(spec.dataset);
  if (outline === null) return null;
  const { name, classes, channels, height, width } = outline;
  const [train, test] = [spec.subset?.train ?? outline.trainCount, spec.subset?.test ?? outline.testCount];
  const facts = { name, classes, channels, height, width, count: train };
  const bytes = isStreamed(spec.dataset)
    ? windowBytes(planRun(spec, facts), facts)
    : (train + test) * channels * height * width;
  return { facts, bytes };
}

/** Bytes of a streamed data set's images that are on the GPU at a time. */
function windowBytes(run: PlannedRun, facts: DataFacts): number {
  const { train, test } = dataOptions(
    run,
    batchStages(run, facts).map(({ epoch }) => epoch.largest.total),
  ).window;
  return (train + test) * facts.channels * facts.height * facts.width;
}

/**
 * What a run needs on this adapter; for a growing batch, the memory is that of the largest. Parts of the model that
 * cannot be bound are in `refused`.
 * @throws CapacityError if even one ghost at a time does not fit, or no step of the model can be planned
 */
export function planTraining(
  gpu: Gpu,
  run: PlannedRun,
  { facts, bytes: dataBytes }: PlannedData,
): TrainingPlan {
  const { spec, model } = run;
  requirePrecision(gpu, spec.precision);
  const stages = batchStages(run, facts);
  const epochs = stages.map(({ epoch }) => epoch);
  const epoch = epochs.reduce((a, b) => (b.largest.total > a.largest.total ? b : a));
  const layout = epoch.largest;
  const { result: planned, refused } = gpu.planOnly(() =>
    orFailure(() => planLargest(gpu, run, facts, epoch)),
  );
  if ("failure" in planned) {
    // If the model is too large, its needs are more informative than its first kernel that does not fit.
    requireRoom({ refused: refused.map(({ message }) => message) });
    throw planned.failure;
  }
  const { result } = planned;
  const { state, slabSamples, stepBytes } = result;
  const { dispatches, flopsByOperation, cost } = result.step;
  const flat = [state.values, state.gradients, state.velocity, state.start];
  const norms = state.normState ? [state.normState.statistics, state.normState.runningMean] : [];
  const running = state.normState ? [state.normState.runningMean, state.normState.runningVariance] : [];
  const copied = [state.values, state.velocity, state.start, ...running];
  const sum = (of: (stage: PlannedRun) => number) => stages.reduce((total, stage) => total + of(stage), 0);
  const samples = sum(({ epoch, regime }) => samplesOfSteps(epoch, regime.totalSteps));
  // As in the literature: only convolutions and matrix products.
  const products = (flopsByOperation.get("conv2d") ?? 0) + (flopsByOperation.get("matmul") ?? 0);
  const flopsPerSample = products / layout.total;
  return {
    model: modelLabel(spec.model),
    dataset: facts.name,
    adapter: gpu.adapter.name,
    refused: refused.map(({ message }) => message),
    parameters: parameterCount(model),
    stateBytes: bytesOf([...flat, ...norms]),
    dataBytes,
    stepBytes,
    precision: spec.precision,
    lossScales: stages.map((stage) => lossScaleOfRun(stage.spec)),
    bytesPerStep: cost.bytes,
    flopsPerByte: cost.flops / cost.bytes,
    copyBytes: bytesOf(copied) + bucketBytes(state.values.byteLength),
    slabSamples: Math.min(slabSamples, layout.total),
    ghosts: `${layout.ghosts} of ${layout.ghostSize}${layout.last === layout.ghostSize ? "" : `, the last of ${layout.last}`}`,
    dispatchesPerStep: dispatches,
    flopsPerSample,
    steps: sum(({ regime }) => regime.totalSteps),
    epochs: sum(({ regime }) => regime.totalEpochs),
    samples,
    flops: flopsPerSample * samples,
    retainedStatistics: retainedByStages(stages),
    learningRates: stages.flatMap(({ regime }, i) => [
      ...(stages.length > 1 ? [`stage ${i + 1} of ${stages.length}: batches of ${regime.batchSize}`] : []),
      ...learningRateTable(regime),
    ]),
  };
}

/** A step and an evaluation with the largest batch of a run. @throws CapacityError if they do not fit */
function planLargest(gpu: Gpu, run: PlannedRun, facts: DataFacts, epoch: EpochPlan) {
  const { shards } = run.spec;
  const options = trainerOptions(run);
  const { memoryBytes } = options;
  const layout = epoch.largest;
  const outlined = outlineStep(gpu, run, facts, { ...options, maximumGhosts: layout.ghosts });
  const { state, plan, planEvaluation } = outlined;
  const bytesOfStep = (ghosts: GhostLayout, samples: number) => plan(ghosts, samples).bytes;
  const slabSamples = slabOfEpoch(epoch, shards, memoryBytes, bytesOfStep);
  const evaluationBatch = chooseEvaluationBatch(
    options.evaluationBatch,
    memoryBytes,
    (samples) => planEvaluation(samples).bytes,
  );
  const step = plan(layout, slabSamples, shards);
  return { state, slabSamples, step, stepBytes: arenaBytes([step, planEvaluation(evaluationBatch)]) };
}

/** Returns a CapacityError as a value, because the parts of the model that do not fit are known only after planning. */
function orFailure<T>(body: () => T): { result: T } | { failure: DeviceError } {
  try {
    return { result: body() };
  } catch (failure) {
    if (failure instanceof DeviceError) return { failure };
    throw failure;
  }
}

function bytesOf(tensors: readonly Tensor[]): number {
  return tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Bytes of everything that a run has on the GPU at a time. */
export function memoryOf({ stepBytes, stateBytes, copyBytes, dataBytes }: TrainingPlan): number {
  return stepBytes + stateBytes + copyBytes + dataBytes;
}

/** @throws CapacityError with the parts of the model that the adapter cannot hold */
export function requireRoom({ refused: [reason] }: Pick<TrainingPlan, "refused">): void {
  if (reason !== undefined) throw new CapacityError(reason);
}

/** "f32", or how values are stored in mixed precision, and the loss scales. */
export function describePrecision({
  precision,
  lossScales,
}: Pick<TrainingPlan, "precision" | "lossScales">): string {
  if (precision === "f32") return "f32";
  const scales = lossScales.map((scale) => `2^${Math.log2(scale)}`).join(", then ");
  return `mixed: activations and their gradients in f16, all else in f32; loss scale ${scales}`;
}

export function describePlan(plan: TrainingPlan): string {
  return [
    `${plan.model} on ${plan.dataset}, ${plan.adapter}`,
    `parameters   ${formatCount(plan.parameters)}`,
    `memory       ${formatBytes(memoryOf(plan))}: ${formatBytes(plan.stepBytes)} tensors of a step or an evaluation, ${formatBytes(plan.stateBytes)} model and optimizer, ${formatBytes(plan.copyBytes)} copies for checkpoints, ${formatBytes(plan.dataBytes)} images`,
    `precision    ${describePrecision(plan)}`,
    `traffic      ${formatBytes(plan.bytesPerStep)} read and written by a step, ${plan.flopsPerByte.toFixed(1)} FLOP per byte`,
    `batch        ${plan.ghosts} images normalized together; slabs of ${plan.slabSamples} images; ${plan.dispatchesPerStep} dispatches per step`,
    `cost         ${formatQuantity(plan.flopsPerSample, "FLOP")} per image in convolutions and linear layers, ${formatCount(plan.steps)} steps, ${formatCount(plan.samples)} images, ${formatQuantity(plan.flops, "FLOP")} in total`,
    `statistics   ${formatPercent(plan.retainedStatistics, 1)} of the initial running statistics is left after the last step`,
    ...plan.refused.map((reason) => `does not fit ${reason}`),
    ...plan.learningRates,
  ].join("\n");
}
