/** Derives network, regime and batches from a specification and the facts of its data. Needs neither files nor a GPU. */
import type { ImageDataset } from "../data/dataset.ts";
import type { StreamedDataset } from "../data/streamed.ts";
import { createModel } from "../models/create-model.ts";
import { modelEntry } from "../models/index.ts";
import type { ImageFacts } from "../models/model-entry.ts";
import type { Module } from "../nn/module.ts";
import { UsageError } from "../support/errors.ts";
import { formatCount } from "../support/format.ts";
import {
  type BaseRegime,
  namedRegime,
  overrideRegime,
  plateauOf,
  scaleEpochs,
} from "../train/base-regimes.ts";
import { type EpochPlan, planEpoch, stepsPerEpoch } from "../train/ghosts.ts";
import { requireLossScale } from "../train/precision.ts";
import { planRegime, type Regime, type RegimeAdaptation } from "../train/regime.ts";
import { ghostSizeOf, type RunSpec } from "./run-spec.ts";

/** A run, as its specification and the facts of its data determine it. */
export interface PlannedRun {
  readonly spec: RunSpec;
  readonly model: Module;
  readonly regime: Regime;
  readonly epoch: EpochPlan;
}

/** What a run needs to know of its data before loading them. */
export interface DataFacts extends ImageFacts {
  readonly name: string;
  /** Training samples. */
  readonly count: number;
}

/** The facts of loaded data. */
export function factsOf({ train, ...dataset }: ImageDataset | StreamedDataset): DataFacts {
  const { name, classes, channels, height, width } = dataset;
  return { name, classes, channels, height, width, count: train.count };
}

/**
 * The network, the regime and the batches of a run, from facts alone; `--dry-run` uses this without data.
 * @throws UsageError if options contradict each other or the data
 */
export function planRun(spec: RunSpec, facts: DataFacts): PlannedRun {
  const { width, hidden, gamma, topology } = spec;
  const model = createModel(spec.model, facts, { width, hidden, gamma, topology });
  const { batchSize, referenceBatchSize, partial } = spec;
  const ghostSize = ghostSizeOf(spec);
  if (ghostSize > batchSize) {
    throw new UsageError(
      `--ghost-size ${ghostSize}: a ghost batch cannot be larger than the batch; --batch-size is ${batchSize}`,
    );
  }
  requireLossScale(spec.precision, spec.lossScale);
  const samples = facts.count;
  if (batchSize > samples) {
    throw new UsageError(`--batch-size ${batchSize}: ${facts.name} has ${samples} training samples here`);
  }
  const pixels = modelEntry(spec.model).normalizedPixels(facts);
  const epoch = planEpoch({ samples, batchSize, ghostSize, policy: partial, pixels });
  requireGhosts(epoch, ghostSize);
  const base = baseRegimeOf(spec);
  const { epochScale } = spec;
  const adaptation: RegimeAdaptation = spec.regime === "adapted" ? "exact" : spec.regime;
  const regime = planRegime({
    base: epochScale === 1 ? base : scaleEpochs(base, epochScale),
    batchSize,
    referenceBatchSize,
    stepsPerEpoch: epoch.stepsPerEpoch,
    ...(adaptation === "iteration-matched" && {
      referenceStepsPerEpoch: stepsPerEpoch({ samples, batchSize: referenceBatchSize, policy: partial }),
    }),
    rule: spec.learningRateRule,
    adaptation,
    ...(spec.warmupSteps > 0 && { warmup: { steps: spec.warmupSteps } }),
    momentumReset: spec.momentumReset,
    maxSteps: spec.maxSteps,
  });
  return { spec, model, regime, epoch };
}

/** Ghosts are one dimension of a grid of workgroups; this is WebGPU's default limit of a dimension. */
const MOST_GHOSTS = 65_535;

function requireGhosts({ maximumGhosts: ghosts }: EpochPlan, ghostSize: number): void {
  if (ghosts <= MOST_GHOSTS) return;
  throw new UsageError(
    `--ghost-size ${ghostSize}: gives ${formatCount(ghosts)} ghost batches per batch, but a GPU allows at most ` +
      `${formatCount(MOST_GHOSTS)}: use a larger ghost size or a smaller --batch-size`,
  );
}

/** The regime that a specification names, with its changes. */
export function baseRegimeOf(spec: RunSpec): BaseRegime {
  const { learningRate, momentum, weightDecay, epochs } = spec;
  const named: BaseRegime = namedRegime(spec);
  const overrides = { learningRate, momentum, weightDecay, epochs };
  return overrideRegime(spec.constantRate ? plateauOf(named) : named, overrides);
}
