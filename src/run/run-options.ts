/**
 * The options of a run, each in one place. From this table come the type of a run's specification, the command line of `train`
 * and its help, the keys of configuration files and of sweeps, and docs/OPTIONS.md. Adding an option is an entry here and its
 * use. Options here decide a run's result and its name (spec-hash.ts); any others belong only to the command line.
 */

import { DATASET_MEANINGS } from "../data/dataset-forms.ts";
import { MODEL_MEANINGS, modelEntry } from "../models/index.ts";
import { BASE_REGIMES, type BaseRegimeName, namedRegime } from "../train/base-regimes.ts";
import { EXECUTION } from "./execution-options.ts";
import { choice, onOff, type RunOption, real, subsetSizes, text, whole } from "./option-values.ts";

/** Options on which defaults of others depend. */
interface Chosen {
  readonly model: string;
  readonly baseRegime: BaseRegimeName;
}

/** Largest width. The 2^52 weights between two such layers are still counted exactly, so messages give their true size. */
const MOST_UNITS = 2 ** 26;
/** Most layers. A network of this depth takes a few seconds to plan; a thousand times as deep would take forever. */
const MOST_LAYERS = 10_000;

const DATA = {
  dataset: {
    value: text("the name of a data set"),
    unit: "name",
    help: "data set; `ghostbatch data --help` lists the options that may follow its name",
    meanings: DATASET_MEANINGS,
    default: "mnist",
  },
  subset: {
    value: subsetSizes(),
    unit: "train,test",
    help: "use only this many training and test images, chosen by a fixed permutation",
    default: null,
    defaultText: "all",
  },
  augmentation: {
    value: onOff(),
    help: "train on the images as they are, without the data set's random crops and mirroring (as in the paper's code, MNIST's digits are shifted and mirrored too)",
    default: true,
  },
  mirroring: {
    value: onOff(),
    help: "mirror no image; random crops and shifts stay",
    default: true,
  },
} as const satisfies Record<string, RunOption>;

const NETWORK = {
  model: {
    value: text("the name of a network"),
    unit: "name",
    help: "network",
    meanings: MODEL_MEANINGS,
    default: "f1",
  },
  width: {
    value: whole(1, MOST_UNITS),
    unit: "units",
    help: "units of a hidden layer, or channels of the first convolutions",
    defaultText: "the network's own",
  },
  hidden: {
    value: whole(1, MOST_LAYERS),
    unit: "layers",
    help: "hidden layers of f1, or the most convolutions in a group of vgg",
    defaultText: "the network's own",
  },
  gamma: {
    value: choice({
      ones: "all 1",
      uniform: "drawn from U(0, 1), PyTorch's default before version 1.2",
    }),
    unit: "values",
    help: "initial scale of batch norm",
    defaultText: "ones",
  },
  topology: {
    value: choice({
      released: "pooling, then batch norm, no biases, as in the code released with the paper",
      keskar: "batch norm, then pooling, with biases, as in Keskar et al. 2017",
    }),
    unit: "layers",
    help: "order of the layers of c1 and c3",
    defaultText: "released",
    formerly: "variant",
  },
} as const satisfies Record<string, RunOption>;

const BATCHES = {
  batchSize: { value: whole(1), unit: "images", help: "images in a batch", default: 128 },
  ghostSize: {
    value: whole(1),
    unit: "images",
    help: "images in a ghost batch, which batch norm normalizes together",
    default: null,
    defaultText: "the batch size, plain batch norm",
  },
  partial: {
    value: choice({
      authors: "split every batch into equal pieces and average their means, as the released code does",
      exact:
        "keep ghosts of the given size; a remainder is a smaller ghost, or joins the last one if it is too small",
      drop: "discard a partial last batch; otherwise as exact",
      wrap: "fill the last batch with the first images of the next epoch; otherwise as exact",
    }),
    unit: "policy",
    help: "what to do if images do not divide evenly into batches and ghosts",
    default: "exact",
  },
  runningRule: {
    value: choice({
      sequential: "update with one ghost after the other, as the released code does",
      mean: "update once with the mean over the ghosts, with the weight of all of them",
      full: "as mean, with the statistics of the whole batch",
      composer: "sequential, with the momentum divided by the number of ghosts",
      "paper-literal": "Algorithm 1 of the paper as printed, which is biased",
    }),
    unit: "rule",
    help: "how the running statistics are updated from those of the ghosts",
    default: "mean",
  },
  runningMomentum: {
    value: real({ above: 0, most: 1 }),
    unit: "fraction",
    help: "weight of a ghost's statistics in the running statistics",
    default: 0.1, // PyTorch's default, used by the authors
  },
  reestimateStatistics: {
    value: whole(0),
    unit: "batches",
    help: "after the last evaluation, replace the running statistics by their mean over this many training batches and evaluate again; 0 for never",
    default: 0, // as published
  },
} as const satisfies Record<string, RunOption>;

const regimeChoices = Object.fromEntries([
  ...Object.entries(BASE_REGIMES).map(([name, { epochs, entries, batchSize }]) => {
    const rates = entries.filter(({ epoch }) => epoch < epochs).map(({ learningRate }) => learningRate);
    return [name, `${epochs} epochs of batches of ${batchSize}, learning rates ${rates.join(", ")}`];
  }),
  ["own", "the regime that the file of --model exports"],
]) as Record<BaseRegimeName, string>;

const OPTIMIZATION = {
  baseRegime: {
    value: choice(regimeChoices),
    unit: "name",
    help: "regime from which to take learning rates, momentum, weight decay and epochs",
    default: ({ model }: Chosen): BaseRegimeName => modelEntry(model).regime,
    defaultText: "the network's own",
  },
  learningRate: {
    value: real({ above: 0 }),
    unit: "rate",
    flag: "lr",
    help: "initial learning rate; later rates keep their ratios to it",
    defaultText: "the base regime's",
  },
  momentum: {
    value: real({ least: 0, below: 1 }),
    unit: "fraction",
    help: "momentum of SGD",
    defaultText: "the base regime's",
  },
  weightDecay: {
    value: real({ least: 0 }),
    unit: "factor",
    help: "weight decay",
    defaultText: "the base regime's",
  },
  epochs: {
    value: real({ above: 0 }),
    unit: "number",
    help: "length of training, before --regime",
    defaultText: "the base regime's",
  },
  constantRate: { value: onOff(), help: "keep the regime's first learning rate to the end", default: false },
  epochScale: {
    value: real({ above: 0 }),
    unit: "factor",
    help: "multiply the regime's length and the epochs of its rate changes",
    default: 1,
  },
  learningRateRule: {
    value: choice({
      none: "not at all",
      sqrt: "multiply it by √(B / B_ref), as the paper does",
      linear: "multiply it by B / B_ref (Goyal et al. 2017)",
    }),
    unit: "rule",
    flag: "lr-rule",
    help: "how the learning rate follows the batch size B",
    default: "none",
  },
  referenceBatchSize: {
    value: whole(1),
    unit: "images",
    flag: "lr-reference-batch",
    help: "B_ref, the batch size that --lr-rule and --regime start from",
    default: (chosen: Chosen): number => namedRegime(chosen).batchSize,
    defaultText: "the base regime's",
  },
  regime: {
    value: choice({
      original: "the base regime's epochs",
      adapted: "its epochs times B / B_ref, which takes about as many steps as with B_ref",
      ceil: "the same with B / B_ref rounded up, as the released code does",
      "iteration-matched": "rate changes and end at the steps where training with B_ref has them",
    }),
    unit: "kind",
    help: "how long to train",
    default: "original",
  },
  warmupSteps: {
    value: whole(0),
    unit: "steps",
    help: "steps over which the learning rate rises linearly to that of --lr-rule",
    default: 0,
  },
  momentumReset: {
    value: choice({ never: "keep it", epoch: "at the start of every epoch, as the released code does" }),
    unit: "when",
    help: "when to reset the momentum buffer",
    default: "never",
  },
  clipNorm: {
    value: real({ least: 0 }),
    unit: "norm",
    help: "largest norm of the gradient; a larger one is scaled down to it; 0 for no clipping",
    default: 5, // the authors'
  },
  gradientNoise: {
    value: real({ least: 0 }),
    unit: "deviation",
    help: "standard deviation of the factors N(1, σ²) that multiply samples' gradients (section 4 of the paper, with √(B / B_S − 1))",
    default: 0,
  },
  batchGrowth: {
    value: onOff(),
    help: "grow the batch where the regime would cut the learning rate (Smith et al. 2018)",
    default: false,
  },
  maxSteps: {
    value: whole(1),
    unit: "steps",
    help: "stop after this many steps",
    defaultText: "the regime's end",
  },
} as const satisfies Record<string, RunOption>;

/** The groups, in the order of the help, of the documentation and of a run's record. */
export const RUN_OPTION_GROUPS = {
  Data: DATA,
  Network: NETWORK,
  "Batches and batch norm": BATCHES,
  "Learning rate and length": OPTIMIZATION,
  "Execution and evaluation": EXECUTION,
} as const;

export const RUN_OPTIONS = { ...DATA, ...NETWORK, ...BATCHES, ...OPTIMIZATION, ...EXECUTION } as const;
export type RunOptionKey = keyof typeof RUN_OPTIONS;

export const RUN_OPTION_KEYS = Object.keys(RUN_OPTIONS) as RunOptionKey[];

/** An entry of the table, with its general type. */
export function runOption(key: RunOptionKey): RunOption {
  return RUN_OPTIONS[key];
}
