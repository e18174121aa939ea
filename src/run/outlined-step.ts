/** A training step on data of known shape but no contents, for recording and counting, not for running. */

import { NO_AUGMENTATION } from "../data/dataset.ts";
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Plan, planRecording } from "../gpu/recording.ts";
import { SHARD_ROW } from "../kernels/shards.ts";
import { type ModelState, materialize } from "../nn/model-state.ts";
import { persistent } from "../tensor/tensor.ts";
import type { GhostLayout } from "../train/ghosts.ts";
import { activationType } from "../train/precision.ts";
import { shardedStep } from "../train/shards.ts";
import type { TrainOptions } from "../train/trainer.ts";
import { evaluationStep, gatherTraining } from "../train/training-step.ts";
import type { DataFacts, PlannedRun } from "./plan-run.ts";

export interface OutlinedStep {
  readonly state: ModelState;
  /**
   * @param slabSamples the most samples that go through the network at a time
   * @param shards number of shards; 1 by default
   * @throws CapacityError if a tensor is larger than the adapter can bind
   */
  plan(layout: GhostLayout, slabSamples: number, shards?: number): Plan;
  /** The same for one evaluation batch. */
  planEvaluation(samples: number): Plan;
}

/**
 * Call this inside `gpu.planOnly`: none of it has memory.
 * @param maximumGhosts the largest number of ghosts in any planned layout
 */
export function outlineStep(
  gpu: Gpu,
  { model, spec }: Pick<PlannedRun, "model" | "spec">,
  facts: DataFacts,
  options: Pick<TrainOptions, "augmentation" | "running" | "gradientNoise" | "onNan"> & {
    maximumGhosts: number;
  },
): OutlinedStep {
  const { augmentation, maximumGhosts, running, gradientNoise, onNan } = options;
  const state = materialize(gpu, model, {
    seed: spec.seed,
    maximumGhosts,
    activations: activationType(spec.precision),
  });
  const tensors = {
    order: persistent(gpu, [1], { dtype: "u32" }),
    log: persistent(gpu, [1, 8]),
    step: persistent(gpu, [8], { usage: "uniform" }),
  };
  const data = outlinedImages(gpu, facts);
  const input = gatherTraining(state, data, tensors, augmentation);
  return {
    state,
    plan: (layout, slabSamples, count = 1) =>
      planRecording(gpu, () => {
        const metrics = persistent(gpu, [count, SHARD_ROW]);
        const options = { slabSamples, running, input, gradientNoise, onNan, count };
        shardedStep(state, { ...tensors, metrics }, layout, options);
      }),
    planEvaluation: (samples) => planRecording(gpu, () => evaluationStep(state, data, tensors, samples)),
  };
}

function outlinedImages(
  gpu: Gpu,
  { name, classes, channels, height, width, count }: DataFacts,
): ResidentDataset {
  const split = {
    count,
    images: [persistent(gpu, [4], { dtype: "u8" })],
    labels: persistent(gpu, [1], { dtype: "u32" }),
  };
  return {
    name,
    classes,
    imageShape: [channels, height, width],
    train: split,
    test: split,
    normalization: persistent(gpu, [channels, 2]),
    augmentation: NO_AUGMENTATION,
  };
}
