/** Exports and imports weights of runs under PyTorch's names. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { placeDataset } from "../data/feed.ts";
import type { LoadOptions } from "../datasets/load.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Arena } from "../gpu/recording.ts";
import { authorsAlias, isAuthorsAlias } from "../models/authors-aliases.ts";
import { materialize } from "../nn/model-state.ts";
import { parameterCount } from "../nn/module.ts";
import { loadStateDict, type StateTensor, stateDict } from "../nn/state-dict.ts";
import { readSafetensors, writeSafetensors } from "../storage/safetensors.ts";
import { DataError } from "../support/errors.ts";
import { type Evaluation, Evaluator } from "../train/evaluate.ts";
import { activationType, requirePrecision } from "../train/precision.ts";
import { prepareRun } from "./prepare.ts";
import type { RunSpec } from "./run-spec.ts";
import { dataOptions, EVALUATION_BATCH } from "./trainer-options.ts";

/** The weights file of a run folder, or the file itself. @throws DataError if there is none */
export function weightsFile(source: string): string {
  const inFolder = join(source, "weights.safetensors");
  if (existsSync(inFolder)) return inFolder;
  if (source.endsWith(".safetensors") && existsSync(source)) return source;
  throw new DataError(
    `${source}: weights.safetensors is missing: expected a finished run's folder or a safetensors file`,
  );
}

/** @throws DataError if the file is damaged or contains a tensor that is not of 32-bit floats */
export async function readWeights(path: string): Promise<Map<string, StateTensor>> {
  const { tensors } = await readSafetensors(path);
  const weights = new Map<string, StateTensor>();
  for (const [name, { shape, data }] of tensors) {
    if (isAuthorsAlias(name) || name.endsWith("num_batches_tracked")) continue;
    if (!(data instanceof Float32Array)) throw new DataError(`${path}: ${name} is not of type F32`);
    weights.set(name, { shape, data: data as Float32Array<ArrayBuffer> });
  }
  return weights;
}

/** Writes weights for PyTorch; with `aliases`, also under the second names of the authors' residual networks. */
export async function exportWeights(
  source: string,
  target: string,
  { aliases }: { aliases: boolean },
): Promise<number> {
  const weights = await readWeights(weightsFile(source));
  const written = new Map(weights);
  for (const [name, tensor] of weights) {
    const alias = aliases ? authorsAlias(name) : null;
    if (alias !== null) written.set(alias, tensor);
  }
  await writeSafetensors(target, written);
  return written.size;
}

export interface ImportedWeights {
  readonly parameters: number;
  readonly tensors: number;
  /** On the test split of the specification's data set. */
  readonly evaluation: Evaluation;
}

/**
 * Loads weights into the network of a specification, evaluates it, and writes them as this engine holds them.
 * @throws DataError naming the missing or extra tensor, or the one with another shape
 */
export async function importWeights(
  gpu: Gpu,
  spec: RunSpec,
  { source, target, load }: { source: string; target: string | undefined; load: LoadOptions },
): Promise<ImportedWeights> {
  const weights = await readWeights(weightsFile(source));
  requirePrecision(gpu, spec.precision);
  const prepared = await prepareRun(spec, load);
  const { model, dataset } = prepared;
  return gpu.lifetime(async () => {
    const state = materialize(gpu, model, {
      seed: spec.seed,
      maximumGhosts: 1,
      activations: activationType(spec.precision),
    });
    await loadStateDict(state, weights, source);
    const data = await placeDataset(gpu, dataset, dataOptions(prepared));
    const evaluator = await Evaluator.create(gpu, new Arena(gpu), state, data, {
      batchSize: EVALUATION_BATCH,
      memoryBytes: spec.memory * 2 ** 20,
    });
    const evaluation = await evaluator.run();
    const held = await stateDict(state);
    if (target !== undefined) await writeSafetensors(target, held);
    return { parameters: parameterCount(model), tensors: held.size, evaluation };
  });
}
