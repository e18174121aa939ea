/** The model and the data of a measurement: of a finished run, or after some epochs of a row's small batch. */

import { join } from "node:path";
import { placeDataset } from "../data/feed.ts";
import type { ResidentDataset } from "../data/resident.ts";
import type { LoadOptions } from "../datasets/load.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { loadModel } from "../host/node/model-file.ts";
import { type ModelState, materialize } from "../nn/model-state.ts";
import { loadStateDict, type StateTensor } from "../nn/state-dict.ts";
import { specOfRun } from "../run/config-file.ts";
import { inMemory } from "../run/in-memory.ts";
import type { PlannedRun } from "../run/plan-run.ts";
import { prepareRun } from "../run/prepare.ts";
import type { RunSpec } from "../run/run-spec.ts";
import { dataOptions, trainerOptions } from "../run/trainer-options.ts";
import { readSafetensors } from "../storage/safetensors.ts";
import { activationType, requirePrecision } from "../train/precision.ts";
import { Trainer } from "../train/trainer.ts";

export interface MeasuredPoint {
  readonly state: ModelState;
  readonly data: ResidentDataset;
  readonly spec: RunSpec;
  /** Samples normalized together: the ghost size of its training, or its small batch. */
  readonly ghostSize: number;
  /** Description, for a caption. */
  readonly description: string;
}

/** Samples in the loss of sharpness and directions. */
export const LOSS_SAMPLES = 2048;
/** Ghosts in the largest batch whose covariance is measured. */
export const COVARIANCE_GHOSTS = 64;

/** Samples per ghost in measurements of ghosts. */
export function measuredGhostSize({ ghostSize, referenceBatchSize, batchSize }: RunSpec): number {
  return ghostSize ?? Math.min(referenceBatchSize, batchSize);
}

/** Ghosts in the largest batch that is measured, or trained before. */
function maximumGhosts({ spec, epoch }: PlannedRun): number {
  const measured = Math.max(COVARIANCE_GHOSTS, Math.ceil(LOSS_SAMPLES / measuredGhostSize(spec)));
  return Math.max(measured, epoch.maximumGhosts);
}

/** The final weights of a finished run. @throws DataError if the run has not finished or its data are missing */
export async function pointOfRun(gpu: Gpu, folder: string, load: LoadOptions = {}): Promise<MeasuredPoint> {
  const spec = specOfRun(folder);
  await loadModel(spec.model);
  requirePrecision(gpu, spec.precision);
  const prepared = await prepareRun(spec, load);
  const state = materialize(gpu, prepared.model, {
    seed: spec.seed,
    maximumGhosts: maximumGhosts(prepared),
    activations: activationType(spec.precision),
  });
  const path = join(folder, "weights.safetensors");
  const weights = new Map<string, StateTensor>();
  for (const [name, { shape, data }] of (await readSafetensors(path)).tensors) {
    if (data instanceof Float32Array) weights.set(name, { shape, data: Float32Array.from(data) });
  }
  await loadStateDict(state, weights, path);
  const data = await placeDataset(gpu, inMemory(prepared.dataset, "a measurement"), dataOptions(prepared));
  const point = { state, data, spec, ghostSize: measuredGhostSize(spec) };
  return { ...point, description: `the final weights of ${folder}` };
}

/** The model of a specification after some epochs of its training; 0 for the initial weights. */
export async function pointAfter(
  gpu: Gpu,
  spec: RunSpec,
  epochs: number,
  load: LoadOptions = {},
): Promise<MeasuredPoint> {
  requirePrecision(gpu, spec.precision);
  const prepared = await prepareRun(spec, load);
  const state = materialize(gpu, prepared.model, {
    seed: spec.seed,
    maximumGhosts: maximumGhosts(prepared),
    activations: activationType(spec.precision),
  });
  const data = await placeDataset(gpu, inMemory(prepared.dataset, "a measurement"), dataOptions(prepared));
  const description = `${spec.model} with batches of ${spec.batchSize} after ${epochs} epochs`;
  const point = { state, data, spec, ghostSize: measuredGhostSize(spec) };
  if (epochs === 0) return { ...point, description: `${spec.model} before training` };
  const steps = Math.round(epochs * prepared.regime.stepsPerEpoch);
  const trainer = await Trainer.create(gpu, state, data, trainerOptions(prepared));
  const events = trainer.run(0, ({ step }) => step < steps);
  while (!(await events.next()).done);
  return { ...point, description };
}
