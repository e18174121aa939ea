/** What a run would take, from recording its step without running it. */
import { isImageDataset } from "../data/feed.ts";
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { planRecording } from "../gpu/recording.ts";
import { materialize } from "../nn/model-state.ts";
import { parameterCount } from "../nn/module.ts";
import { formatBytes, formatCount, formatQuantity } from "../support/format.ts";
import { persistent } from "../tensor/tensor.ts";
import type { GhostLayout } from "../train/ghosts.ts";
import { learningRateTable } from "../train/regime.ts";
import { chooseSlab } from "../train/slab-size.ts";
import { gatherTraining, trainingStep } from "../train/training-step.ts";
import { trainOptions } from "./execute.ts";
import type { PreparedRun } from "./prepare.ts";

export interface TrainingPlan {
  readonly model: string;
  readonly dataset: string;
  readonly adapter: string;
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
  readonly flopsPerSample: number;
  readonly steps: number;
  readonly epochs: number;
  readonly samples: number;
  readonly flops: number;
  readonly learningRates: readonly string[];
}

/** @throws DeviceError when the model, a ghost or the data do not fit the adapter */
export async function planTraining(gpu: Gpu, prepared: PreparedRun): Promise<TrainingPlan> {
  const { spec, dataset, model, regime, epoch } = prepared;
  const options = trainOptions(prepared);
  const layout = epoch.full ?? epoch.last;
  return gpu.lifetime(async () => {
    const before = gpu.allocatedBytes;
    const state = materialize(gpu, model, { seed: spec.seed, maximumGhosts: layout.ghosts });
    const stateBytes = gpu.allocatedBytes - before;
    const tensors = {
      order: persistent(gpu, [1], { dtype: "u32" }),
      log: persistent(gpu, [1, 8]),
      step: persistent(gpu, [8], { usage: "uniform" }),
    };
    const input = gatherTraining(state, placeholder(gpu, prepared), tensors, options.augment);
    const plan = (ghosts: GhostLayout, maximumSlab: number) =>
      planRecording(gpu, () =>
        trainingStep(state, tensors, ghosts, { maximumSlab, running: options.running, input }),
      );
    const slabSamples = chooseSlab(
      layout,
      options.memoryBytes,
      (ghosts, samples) => plan(ghosts, samples).bytes,
    );
    const { bytes: stepBytes, dispatches, cost } = plan(layout, slabSamples);
    const perEpoch = (regime.stepsPerEpoch - 1) * (epoch.full?.total ?? 0) + epoch.last.total;
    const samples = Math.round((regime.totalSteps / regime.stepsPerEpoch) * perEpoch);
    const flopsPerSample = cost.flops / layout.total;
    await gpu.settle();
    return {
      model: spec.model,
      dataset: dataset.name,
      adapter: gpu.adapter.name,
      parameters: parameterCount(model),
      stateBytes,
      dataBytes: isImageDataset(dataset)
        ? dataset.train.images.byteLength + dataset.test.images.byteLength
        : (layout.total + options.evaluationBatch) * dataset.channels * dataset.height * dataset.width,
      stepBytes,
      slabSamples,
      ghosts: `${layout.ghosts} of ${layout.ghostSize}${layout.last === layout.ghostSize ? "" : `, the last of ${layout.last}`}`,
      dispatchesPerStep: dispatches,
      flopsPerSample,
      steps: regime.totalSteps,
      epochs: regime.totalEpochs,
      samples,
      flops: flopsPerSample * samples,
      learningRates: learningRateTable(regime),
    };
  });
}

export function describePlan(plan: TrainingPlan): string {
  return [
    `${plan.model} on ${plan.dataset}, ${plan.adapter}`,
    `parameters   ${formatCount(plan.parameters)}`,
    `memory       ${formatBytes(plan.stepBytes + plan.stateBytes + plan.dataBytes)}: ${formatBytes(plan.stepBytes)} tensors of a step, ${formatBytes(plan.stateBytes)} model and optimizer, ${formatBytes(plan.dataBytes)} images`,
    `batch        ${plan.ghosts} images normalized together; slabs of ${plan.slabSamples} images; ${plan.dispatchesPerStep} dispatches a step`,
    `cost         ${formatQuantity(plan.flopsPerSample, "FLOP")} an image, ${formatCount(plan.steps)} steps, ${formatCount(plan.samples)} images, ${formatQuantity(plan.flops, "FLOP")} in all`,
    ...plan.learningRates,
  ].join("\n");
}

/** Stands for the data set: the plan needs its shapes, not its bytes. */
function placeholder(gpu: Gpu, { dataset, spec }: PreparedRun): ResidentDataset {
  const split = (count: number) => ({
    count,
    images: [persistent(gpu, [4], { dtype: "u8" })],
    labels: persistent(gpu, [1], { dtype: "u32" }),
  });
  return {
    name: spec.dataset,
    classes: dataset.classes,
    imageShape: [dataset.channels, dataset.height, dataset.width],
    train: split(dataset.train.count),
    test: split(dataset.test.count),
    normalization: persistent(gpu, [dataset.channels, 2]),
    augmentation: dataset.augmentation,
  };
}
