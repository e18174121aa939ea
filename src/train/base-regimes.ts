// The training regimes of the paper's networks at their small batch, from the authors' released code.
// An entry takes effect at the start of its epoch (counted from 0) and stays until another one replaces it.

import { UsageError } from "../support/errors.ts";

export interface RegimeEntry {
  readonly epoch: number;
  readonly learningRate?: number;
  readonly momentum?: number;
  readonly weightDecay?: number;
}

/** A regime before any rule is applied: that of a network's small-batch baseline. */
export interface BaseRegime {
  readonly name: string;
  /** |B_S| of the SB column: the batch these numbers were chosen for. */
  readonly batchSize: number;
  readonly epochs: number;
  /** Ascending epochs, the first one 0. Momentum and weight decay are 0 until an entry sets them. */
  readonly entries: readonly RegimeEntry[];
}

// The small batches are "128 or 256" in the paper; 128 follows from Figure 3, whose drop at iteration 31.65k is
// epoch 81 of 50,000 samples in batches of 128. ImageNet's is AlexNet's 256.
const SMALL_BATCH = 128;

const SHALLOW: Omit<BaseRegime, "name"> = {
  batchSize: SMALL_BATCH,
  epochs: 200,
  entries: [
    // The released regime has no momentum, although the paper mentions momentum SGD throughout.
    { epoch: 0, learningRate: 1e-3, weightDecay: 5e-4 },
    { epoch: 60, learningRate: 1e-2 },
    { epoch: 120, learningRate: 1e-3 },
    { epoch: 180, learningRate: 1e-4 },
  ],
};

export const BASE_REGIMES = {
  f1: {
    name: "f1",
    batchSize: SMALL_BATCH,
    epochs: 50,
    entries: [
      { epoch: 0, learningRate: 0.1, momentum: 0.9, weightDecay: 1e-4 },
      { epoch: 10, learningRate: 1e-2 },
      { epoch: 20, learningRate: 1e-3 },
      { epoch: 30, learningRate: 1e-4 },
    ],
  },
  // The minutes-long version of F1: 4,096 images, hidden layers of 128. Not the paper's.
  "f1-small": {
    name: "f1-small",
    batchSize: 32,
    epochs: 12,
    entries: [
      { epoch: 0, learningRate: 0.05, momentum: 0.9, weightDecay: 1e-4 },
      { epoch: 8, learningRate: 0.005 },
      { epoch: 10, learningRate: 0.0005 },
    ],
  },
  // The minutes-long version of the CIFAR rows: hundreds of images, narrow networks. Not the paper's.
  "cifar-small": {
    name: "cifar-small",
    batchSize: 16,
    epochs: 4,
    entries: [
      { epoch: 0, learningRate: 0.02, momentum: 0.9, weightDecay: 1e-4 },
      { epoch: 3, learningRate: 0.002 },
    ],
  },
  c1: { name: "c1", ...SHALLOW },
  c3: { name: "c3", ...SHALLOW },
  resnet44: {
    name: "resnet44",
    batchSize: SMALL_BATCH,
    // The authors' script and figures stop at 100, so of the three drops only the first one acts.
    epochs: 100,
    entries: [
      { epoch: 0, learningRate: 0.1, momentum: 0.9, weightDecay: 1e-4 },
      { epoch: 81, learningRate: 1e-2 },
      { epoch: 122, learningRate: 1e-3 },
      { epoch: 164, learningRate: 1e-4 },
    ],
  },
  "wresnet16-4": {
    name: "wresnet16-4",
    batchSize: SMALL_BATCH,
    epochs: 200,
    entries: [
      { epoch: 0, learningRate: 0.1, momentum: 0.9, weightDecay: 1e-4 },
      { epoch: 60, learningRate: 0.02 },
      { epoch: 120, learningRate: 0.004 },
      { epoch: 140, learningRate: 1e-4 },
    ],
  },
  // Not in the release. The usual regime of this network, an assumption of this project.
  vgg: {
    name: "vgg",
    batchSize: SMALL_BATCH,
    epochs: 200,
    entries: [
      { epoch: 0, learningRate: 0.1, momentum: 0.9, weightDecay: 5e-4 },
      { epoch: 60, learningRate: 0.02 },
      { epoch: 120, learningRate: 0.004 },
      { epoch: 160, learningRate: 0.0008 },
    ],
  },
  alexnet: {
    name: "alexnet",
    batchSize: 256,
    // The length is not stated anywhere; five epochs after the last drop is an assumption of this project.
    epochs: 30,
    entries: [
      { epoch: 0, learningRate: 1e-2, momentum: 0.9, weightDecay: 5e-4 },
      { epoch: 10, learningRate: 5e-3 },
      { epoch: 15, learningRate: 1e-3, weightDecay: 0 },
      { epoch: 20, learningRate: 5e-4 },
      { epoch: 25, learningRate: 1e-4 },
    ],
  },
} as const satisfies Record<string, BaseRegime>;

/** A regime of the list, or "own": that of the file that defines the network. */
export type BaseRegimeName = keyof typeof BASE_REGIMES | "own";

/** Keyed by the network's name in specifications. */
const OWN = new Map<string, BaseRegime>();

export function registerOwnRegime(model: string, regime: BaseRegime): void {
  OWN.set(model, regime);
}

/** The regime that a specification names. @throws UsageError for "own" if the network's file exports none */
export function namedRegime({
  baseRegime,
  model,
}: {
  readonly baseRegime: BaseRegimeName;
  readonly model: string;
}): BaseRegime {
  const regime = baseRegime === "own" ? OWN.get(model) : BASE_REGIMES[baseRegime];
  if (regime === undefined)
    throw new UsageError(
      `--base-regime own: ${model.replace(/#.*/, "")} exports no regime; name one with --base-regime, or export one from the file`,
    );
  return regime;
}

/** Values that a user sets instead of a regime's own. */
export interface RegimeOverrides {
  /** Replaces the first learning rate; later ones keep their ratios to it. */
  readonly learningRate?: number | undefined;
  /** Replaces the momentum of the whole run. */
  readonly momentum?: number | undefined;
  /** Replaces the weight decay of the whole run. */
  readonly weightDecay?: number | undefined;
  /** Replaces the length; the epochs of the drops stay where they are. */
  readonly epochs?: number | undefined;
}

/** `base` with the user's values. */
export function overrideRegime(base: BaseRegime, overrides: RegimeOverrides): BaseRegime {
  const { learningRate, momentum, weightDecay, epochs } = overrides;
  const first = base.entries[0].learningRate;
  const entries = base.entries.map((entry, i) => ({
    ...entry,
    ...(learningRate !== undefined &&
      entry.learningRate !== undefined &&
      first !== undefined && {
        learningRate: i === 0 ? learningRate : (entry.learningRate / first) * learningRate,
      }),
    ...(momentum !== undefined && { momentum }),
    ...(weightDecay !== undefined && { weightDecay }),
  }));
  return { ...base, entries, epochs: epochs ?? base.epochs };
}

/** `base` with the epochs of its drops and of its end multiplied by `factor`. */
export function scaleEpochs(base: BaseRegime, factor: number): BaseRegime {
  const entries = base.entries.map((entry) => ({ ...entry, epoch: entry.epoch * factor }));
  return { ...base, entries, epochs: base.epochs * factor };
}

/** `base` without its drops: the first learning rate to the end. */
export function plateauOf(base: BaseRegime): BaseRegime {
  return { ...base, entries: base.entries.slice(0, 1) };
}
