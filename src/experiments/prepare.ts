/** From a specification to everything a run needs that is not on the GPU yet. */
import type { ImageDataset } from "../data/dataset.ts";
import { isStreamed, type LoadOptions, loadDataset, openDataset } from "../data/load.ts";
import type { StreamedDataset } from "../data/streamed.ts";
import { streamedSubset, subset } from "../data/subset.ts";
import { createModel, type ImageFacts, modelEntry } from "../models/index.ts";
import type { Module } from "../nn/module.ts";
import { UsageError } from "../support/errors.ts";
import {
  BASE_REGIMES,
  type BaseRegime,
  overrideRegime,
  plateauOf,
  scaleEpochs,
} from "../train/base-regimes.ts";
import { type EpochPlan, planEpoch } from "../train/ghosts.ts";
import { planRegime, type Regime, type RegimeAdaptation } from "../train/regime.ts";
import type { RunSpec } from "./run-spec.ts";

/** A run decided by its specification and the facts of its data. */
export interface PlannedRun {
  readonly spec: RunSpec;
  readonly model: Module;
  readonly regime: Regime;
  readonly epoch: EpochPlan;
}

export interface PreparedRun extends PlannedRun {
  readonly dataset: ImageDataset | StreamedDataset;
}

const loaded = new Map<string, ImageDataset>();

/** What a run needs to know of its data before it has them. */
export interface DataFacts extends ImageFacts {
  readonly name: string;
  /** Training samples. */
  readonly count: number;
}

/**
 * @throws UsageError when options contradict each other or the data; DataError when the data are missing or damaged
 */
export async function prepareRun(spec: RunSpec, options: LoadOptions = {}): Promise<PreparedRun> {
  const dataset = await datasetOf(spec, options);
  return { dataset, ...planRun(spec, factsOf(dataset)) };
}

/** The facts of data that are there. */
export function factsOf({ train, ...dataset }: ImageDataset | StreamedDataset): DataFacts {
  const { name, classes, channels, height, width } = dataset;
  return { name, classes, channels, height, width, count: train.count };
}

/**
 * The network, the regime and the batches of a run, from facts alone: what `--dry-run` shows where there are no data.
 * @throws UsageError when options contradict each other or the data
 */
export function planRun(spec: RunSpec, facts: DataFacts): PlannedRun {
  const { width, hidden, gamma, variant } = spec;
  const model = createModel(spec.model, facts, { width, hidden, gamma, variant });
  const { batchSize, referenceBatchSize, partial } = spec;
  const ghostSize = spec.ghostSize ?? batchSize;
  if (ghostSize > batchSize) {
    throw new UsageError(
      `--ghost-size ${ghostSize}: a ghost batch is part of a batch, and --batch-size is ${batchSize}`,
    );
  }
  const samples = facts.count;
  if (batchSize > samples) {
    throw new UsageError(`--batch-size ${batchSize}: ${facts.name} has ${samples} training samples here`);
  }
  const pixels = modelEntry(spec.model).normalizedPixels(facts);
  const epoch = planEpoch({ samples, batchSize, ghostSize, policy: partial, pixels });
  const base = baseRegimeOf(spec);
  const { epochScale } = spec;
  const adaptation: RegimeAdaptation = spec.regime === "adapted" ? "exact" : spec.regime;
  const regime = planRegime({
    base: epochScale === 1 ? base : scaleEpochs(base, epochScale),
    batchSize,
    referenceBatchSize,
    stepsPerEpoch: epoch.stepsPerEpoch,
    referenceStepsPerEpoch: Math.ceil(samples / referenceBatchSize),
    rule: spec.learningRateRule,
    adaptation,
    ...(spec.warmupSteps > 0 && { warmup: { steps: spec.warmupSteps } }),
    momentumReset: spec.momentumReset,
    maxSteps: spec.maxSteps,
  });
  return { spec, model, regime, epoch };
}

/** The regime that a specification names, with what it says otherwise. */
export function baseRegimeOf(spec: RunSpec): BaseRegime {
  const { learningRate, momentum, weightDecay, epochs } = spec;
  const named: BaseRegime = BASE_REGIMES[spec.baseRegime];
  const overrides = { learningRate, momentum, weightDecay, epochs };
  return overrideRegime(spec.constantRate ? plateauOf(named) : named, overrides);
}

/** A data set is read once in a process: the cells of an experiment share it. */
async function datasetOf(
  { dataset: name, subset: part }: RunSpec,
  options: LoadOptions,
): Promise<ImageDataset | StreamedDataset> {
  if (isStreamed(name)) {
    const whole = openDataset(name, options);
    return part === null ? whole : streamedSubset(whole, part);
  }
  const place = [options.dataDir, options.baseDirectory];
  const wholeKey = JSON.stringify([name, ...place]);
  const whole = loaded.get(wholeKey) ?? (await loadDataset(name, options));
  loaded.set(wholeKey, whole);
  if (part === null) return whole;
  const key = JSON.stringify([name, ...place, part]);
  const selected = loaded.get(key) ?? subset(whole, part);
  loaded.set(key, selected);
  return selected;
}
