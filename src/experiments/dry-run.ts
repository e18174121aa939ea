/** What a run would take, from recording its step without running it. */
import { NO_AUGMENTATION } from "../data/dataset.ts";
import { isImageDataset } from "../data/feed.ts";
import { isStreamed, outlineDataset } from "../data/load.ts";
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { planRecording } from "../gpu/recording.ts";
import { materialize } from "../nn/model-state.ts";
import { parameterCount } from "../nn/module.ts";
import { CapacityError } from "../support/errors.ts";
import { formatBytes, formatCount, formatQuantity } from "../support/format.ts";
import { persistent } from "../tensor/tensor.ts";
import { type GhostLayout, samplesOfSteps } from "../train/ghosts.ts";
import { learningRateTable } from "../train/regime.ts";
import { chooseSlab } from "../train/slab-size.ts";
import { gatherTraining, trainingStep } from "../train/training-step.ts";
import { EVALUATION_BATCH, trainOptions } from "./execute.ts";
import { phasesOf } from "./growing-batch.ts";
import { type DataFacts, factsOf, type PlannedRun, type PreparedRun } from "./prepare.ts";
import type { RunSpec } from "./run-spec.ts";

export interface TrainingPlan {
  readonly model: string;
  readonly dataset: string;
  readonly adapter: string;
  /** What of the model the adapter cannot hold, one sentence each; such a run cannot start there. */
  readonly refused: readonly string[];
  readonly parameters: number;
  /** Bytes of parameters, gradients, velocity, first parameters and batch-norm statistics. */
  readonly stateBytes: number;
  /** Bytes of the images on the GPU. */
  readonly dataBytes: number;
  /** Bytes of one step's tensors, shared by those that do not live at the same time. */
  readonly stepBytes: number;
  readonly slabSamples: number;
  readonly ghosts: string;
  readonly dispatchesPerStep: number;
  /** Of convolutions and linear layers, forward and backward; a multiply-add is 2. */
  readonly flopsPerSample: number;
  readonly steps: number;
  readonly epochs: number;
  readonly samples: number;
  readonly flops: number;
  readonly learningRates: readonly string[];
}

/** What a plan needs of the data: their facts, and how many bytes of images will be on the GPU. */
export interface PlannedData {
  readonly facts: DataFacts;
  readonly bytes: number;
}

/** The data of a run that is ready. */
export function plannedData(run: PreparedRun): PlannedData {
  const { dataset } = run;
  const facts = factsOf(dataset);
  const batches = phasesOf(run, facts).map(({ epoch: { full, last } }) =>
    Math.max(full?.total ?? 0, last.total),
  );
  const window = Math.max(...batches) + EVALUATION_BATCH;
  const bytes = isImageDataset(dataset)
    ? dataset.train.images.byteLength + dataset.test.images.byteLength
    : window * facts.channels * facts.height * facts.width;
  return { facts, bytes };
}

/** The data of a run by their official facts alone; null where only the files tell. */
export function outlinedData(spec: RunSpec): PlannedData | null {
  const outline = outlineDataset(spec.dataset);
  if (outline === null) return null;
  const { name, classes, channels, height, width } = outline;
  const [train, test] = [spec.subset?.train ?? outline.trainCount, spec.subset?.test ?? outline.testCount];
  const images = isStreamed(spec.dataset) ? spec.batchSize + EVALUATION_BATCH : train + test;
  return {
    facts: { name, classes, channels, height, width, count: train },
    bytes: images * channels * height * width,
  };
}

/**
 * What a run would take on this adapter; of one whose batch grows, the memory is that of the largest. What of its model
 * cannot be bound there is in `refused`.
 * @throws CapacityError when not even one ghost at a time fits
 */
export function planTraining(
  gpu: Gpu,
  run: PlannedRun,
  { facts, bytes: dataBytes }: PlannedData,
): TrainingPlan {
  const { spec, model } = run;
  const phases = phasesOf(run, facts);
  const layouts = phases.map(({ epoch }) => epoch.full ?? epoch.last);
  const layout = layouts.reduce((a, b) => (b.total > a.total ? b : a));
  const options = trainOptions(run);
  const { result, refused } = gpu.planOnly(() => {
    const state = materialize(gpu, model, { seed: spec.seed, maximumGhosts: layout.ghosts });
    const tensors = {
      order: persistent(gpu, [1], { dtype: "u32" }),
      log: persistent(gpu, [1, 8]),
      step: persistent(gpu, [8], { usage: "uniform" }),
    };
    const input = gatherTraining(state, placeholder(gpu, facts), tensors, options.augment);
    const plan = (ghosts: GhostLayout, maximumSlab: number) =>
      planRecording(gpu, () =>
        trainingStep(state, tensors, ghosts, {
          maximumSlab,
          running: options.running,
          input,
          gradientNoise: options.gradientNoise,
          ...(options.skipNonFinite && { skipNonFinite: true }),
        }),
      );
    const slabSamples = chooseSlab(
      layout,
      options.memoryBytes,
      (ghosts, samples) => plan(ghosts, samples).bytes,
    );
    return { state, slabSamples, plan: plan(layout, slabSamples) };
  });
  const { state, slabSamples } = result;
  const { bytes: stepBytes, dispatches, flopsByOperation } = result.plan;
  const flat = [state.values, state.gradients, state.velocity, state.start];
  const norms = state.normState ? [state.normState.statistics, state.normState.runningMean] : [];
  const sum = (of: (phase: PlannedRun) => number) => phases.reduce((total, phase) => total + of(phase), 0);
  const samples = sum(({ epoch, regime }) => samplesOfSteps(epoch, regime.totalSteps));
  // As the literature counts them: convolutions and matrix products alone.
  const products = (flopsByOperation.get("conv2d") ?? 0) + (flopsByOperation.get("matmul") ?? 0);
  const flopsPerSample = products / layout.total;
  return {
    model: spec.model,
    dataset: facts.name,
    adapter: gpu.adapter.name,
    refused: refused.map(({ message }) => message),
    parameters: parameterCount(model),
    stateBytes: [...flat, ...norms].reduce((sum, { byteLength }) => sum + byteLength, 0),
    dataBytes,
    stepBytes,
    slabSamples,
    ghosts: `${layout.ghosts} of ${layout.ghostSize}${layout.last === layout.ghostSize ? "" : `, the last of ${layout.last}`}`,
    dispatchesPerStep: dispatches,
    flopsPerSample,
    steps: sum(({ regime }) => regime.totalSteps),
    epochs: sum(({ regime }) => regime.totalEpochs),
    samples,
    flops: flopsPerSample * samples,
    learningRates: phases.flatMap(({ regime }, i) => [
      ...(phases.length > 1 ? [`phase ${i + 1} of ${phases.length}: batches of ${regime.batchSize}`] : []),
      ...learningRateTable(regime),
    ]),
  };
}

/** @throws CapacityError with what of the model the adapter cannot hold */
export function requireRoom({ refused: [reason] }: TrainingPlan): void {
  if (reason !== undefined) throw new CapacityError(reason);
}

export function describePlan(plan: TrainingPlan): string {
  return [
    `${plan.model} on ${plan.dataset}, ${plan.adapter}`,
    `parameters   ${formatCount(plan.parameters)}`,
    `memory       ${formatBytes(plan.stepBytes + plan.stateBytes + plan.dataBytes)}: ${formatBytes(plan.stepBytes)} tensors of a step, ${formatBytes(plan.stateBytes)} model and optimizer, ${formatBytes(plan.dataBytes)} images`,
    `batch        ${plan.ghosts} images normalized together; slabs of ${plan.slabSamples} images; ${plan.dispatchesPerStep} dispatches a step`,
    `cost         ${formatQuantity(plan.flopsPerSample, "FLOP")} an image in convolutions and linear layers, ${formatCount(plan.steps)} steps, ${formatCount(plan.samples)} images, ${formatQuantity(plan.flops, "FLOP")} in all`,
    ...plan.refused.map((reason) => `does not fit ${reason}`),
    ...plan.learningRates,
  ].join("\n");
}

/** Stands for the data set: the plan needs its shapes, not its bytes. */
function placeholder(
  gpu: Gpu,
  { name, classes, channels, height, width, count }: DataFacts,
): ResidentDataset {
  const split = {
    count,
    images: [persistent(gpu, [4], { dtype: "u8" })],
    labels: persistent(gpu, [1], { dtype: "u32" }),
  };
  const normalization = persistent(gpu, [channels, 2]);
  const imageShape = [channels, height, width] as const;
  return {
    name,
    classes,
    imageShape,
    train: split,
    test: split,
    normalization,
    augmentation: NO_AUGMENTATION,
  };
}
