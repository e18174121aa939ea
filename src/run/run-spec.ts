/**
 * A run as plain JSON: everything that decides its result, and nothing else. The configuration file of `train`, the
 * cells of an experiment and the record in a run folder are all this. Its hash tells whether a run has been done.
 */

import { z } from "zod";
import { DATASET_FORMS } from "../data/dataset-forms.ts";
import { BASE_REGIMES, type BaseRegimeName } from "../train/base-regimes.ts";
import { PARTIAL_POLICIES } from "../train/ghosts.ts";

const count = z.int().min(1);
/** MiB that the tensors of one step may take: what a small GPU has to spare. */
export const DEFAULT_MEMORY = 2048;
const regimeNames = Object.keys(BASE_REGIMES) as [BaseRegimeName, ...BaseRegimeName[]];

export const RunSpec = z.strictObject({
  dataset: z.string().describe(DATASET_FORMS.join(", ")),
  /** Fixed first part of a seeded permutation of each split; null takes all. */
  subset: z
    .strictObject({ train: count, test: count, seed: z.int().min(0) })
    .nullable()
    .default(null),
  /** The data set's pad, crop and mirror during training. */
  augmentation: z.boolean().default(true),

  model: z.string(),
  width: count.optional().describe("units of a hidden layer"),
  hidden: count.optional().describe("hidden layers"),
  gamma: z.enum(["ones", "uniform"]).optional().describe("first gamma of batch norm"),
  variant: z.enum(["released", "keskar"]).optional().describe("topology of C1 and C3"),

  batchSize: count,
  /** Samples of a ghost batch; null normalizes over the whole batch. */
  ghostSize: count.nullable().default(null),
  partial: z.enum(PARTIAL_POLICIES).default("exact"),
  runningRule: z.enum(["sequential", "mean", "full", "composer", "paper-literal"]).default("mean"),
  runningMomentum: z.number().gt(0).max(1).default(0.1), // PyTorch's default, used by the authors

  /** The regime that learning rate, momentum, weight decay and epochs are taken from, unless given here. */
  baseRegime: z.enum(regimeNames),
  learningRate: z.number().positive().optional(),
  momentum: z.number().min(0).lt(1).optional(),
  weightDecay: z.number().min(0).optional(),
  epochs: z.number().positive().optional(),
  /** Only the regime's first rate: its plateau, without drops. */
  constantRate: z.boolean().default(false),
  /** Multiplies every epoch of the regime, its drops and its end: a fraction of the paper's experiment. */
  epochScale: z.number().positive().default(1),
  learningRateRule: z.enum(["none", "sqrt", "linear"]).default("none"),
  /** B_ref of the rule and of regime adaptation. */
  referenceBatchSize: count,
  regime: z.enum(["original", "adapted", "ceil", "iteration-matched"]).default("original"),
  warmupSteps: z.int().min(0).default(0),
  momentumReset: z.enum(["never", "epoch"]).default("never"),
  clipNorm: z.number().min(0).default(5), // 0 does not clip; 5 is the authors'
  /** σ of the factors z_n ~ N(1, σ²) that samples' gradients are multiplied by (Hoffer et al. 2017, section 4). */
  gradientNoise: z.number().min(0).default(0),
  /** Where the regime cuts the rate, the batch grows by the same factor instead (Smith et al. 2018). */
  batchGrowth: z.boolean().default(false),
  maxSteps: count.optional(),
  /** What a step whose loss or gradient norm is NaN or infinite does: end the run, or change nothing. */
  onNan: z.enum(["stop", "skip"]).default("stop"),
  /** MiB that one step's tensors may take; a larger batch is cut into slabs, whose sums round differently. */
  memory: count.default(DEFAULT_MEMORY),
  seed: z.int().min(0).max(0xffffffff).default(123), // the authors' single seed

  /** Epochs between evaluations. */
  evaluateEvery: count.default(1),
});

export type RunSpec = z.infer<typeof RunSpec>;
export type RunSpecInput = z.input<typeof RunSpec>;
