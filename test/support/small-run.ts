// A run small enough for a test: F1 with two narrow layers on synthetic images, or ResNet8 on a few larger ones.

import { type ResidentDataset, uploadDataset } from "../../src/data/resident.ts";
import { syntheticDataset } from "../../src/data/synthetic.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { createModel } from "../../src/models/create-model.ts";
import { F1 } from "../../src/models/f1.ts";
import { type ModelState, materialize } from "../../src/nn/model-state.ts";
import { BASE_REGIMES } from "../../src/train/base-regimes.ts";
import { type PartialPolicy, planEpoch } from "../../src/train/ghosts.ts";
import { activationType, lossScaleOf, type Precision } from "../../src/train/precision.ts";
import { planRegime } from "../../src/train/regime.ts";
import { type TrainEvent, Trainer, type TrainOptions } from "../../src/train/trainer.ts";

export interface SmallRun {
  readonly state: ModelState;
  readonly data: ResidentDataset;
  readonly options: TrainOptions;
}

export interface SmallRunOptions {
  /** Number of training samples, if the data are not the run's own. */
  readonly samples?: number;
  readonly batchSize?: number;
  readonly ghostSize?: number;
  readonly partial?: PartialPolicy;
  readonly maxSteps?: number;
  readonly seed?: number;
  readonly memoryBytes?: number;
  readonly logEvery?: number;
  readonly precision?: Precision;
  /** Default: F1. */
  readonly network?: keyof typeof NETWORKS;
  /** Instead of the default, which follows from the batch. */
  readonly lossScale?: number;
  /** If the model will also be used with more ghosts. */
  readonly maximumGhosts?: number;
}

const F1_IMAGES = { classes: 4, channels: 1, height: 7, width: 7, train: 150, test: 37, seed: 1 };
const RESNET_IMAGES = { classes: 10, channels: 3, height: 32, width: 32, train: 32, test: 8, seed: 1 };
const NETWORKS = {
  f1: {
    images: F1_IMAGES,
    dataset: syntheticDataset(F1_IMAGES),
    model: () => new F1({ inputs: 49, classes: 4, width: 24, hidden: 2 }),
  },
  resnet8: {
    images: RESNET_IMAGES,
    dataset: syntheticDataset(RESNET_IMAGES),
    model: () => createModel("resnet8", RESNET_IMAGES),
  },
};

export function smallRun(gpu: Gpu, options: SmallRunOptions = {}): SmallRun {
  const { batchSize = 64, ghostSize = 16, partial = "exact", maxSteps = 7, seed = 5 } = options;
  const { precision = "f32", network = "f1" } = options;
  const { images, dataset, model } = NETWORKS[network];
  const { lossScale = precision === "f32" ? 1 : lossScaleOf(batchSize) } = options;
  const epoch = planEpoch({
    samples: options.samples ?? images.train,
    batchSize,
    ghostSize,
    policy: partial,
  });
  const regime = planRegime({
    base: { ...BASE_REGIMES["f1-small"], epochs: maxSteps }, // so that maxSteps alone ends the run
    batchSize,
    referenceBatchSize: batchSize,
    stepsPerEpoch: epoch.stepsPerEpoch,
    maxSteps,
  });
  const maximumGhosts = Math.max(epoch.maximumGhosts, options.maximumGhosts ?? 0);
  return {
    state: materialize(gpu, model(), { seed, maximumGhosts, activations: activationType(precision) }),
    data: uploadDataset(gpu, dataset),
    options: {
      regime,
      epoch,
      partial,
      running: { rule: "sequential", momentum: 0.1 },
      clipNorm: 5,
      seed,
      augmentation: true,
      evaluateEvery: 1,
      evaluationBatch: 16,
      logEvery: options.logEvery ?? 4,
      memoryBytes: options.memoryBytes ?? 2 ** 30,
      lossScale,
    },
  };
}

/** Trains to the end, and collects all events. */
export async function trainSmall(gpu: Gpu, options: SmallRunOptions = {}) {
  const { state, data, options: train } = smallRun(gpu, options);
  const trainer = await Trainer.create(gpu, state, data, train);
  const events: TrainEvent[] = [];
  for await (const event of trainer.run()) events.push(event);
  return { state, trainer, events };
}
