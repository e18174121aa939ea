/** Options of how a run is computed and evaluated: a group of the table in run-options.ts. */
import { choice, powerOfTwo, type RunOption, whole } from "./option-values.ts";

export const EXECUTION = {
  precision: {
    value: choice({
      f32: "everything in 32 bits",
      mixed: "activations and their gradients in 16 bits, all else in 32 (docs/MIXED-PRECISION.md)",
    }),
    unit: "type",
    help: "how numbers are stored; arithmetic is in 32 bits",
    default: "f32",
  },
  lossScale: {
    value: powerOfTwo(2 ** 24),
    unit: "factor",
    help: "loss scale: factor on the gradient in mixed precision, so that 16 bits can hold it",
    default: null,
    defaultText: "2^(⌈log₂ B⌉ + 6) for a batch of B",
  },
  onNan: {
    value: choice({ stop: "end the run with an error", skip: "skip that step" }),
    unit: "action",
    help: "what to do when a loss or gradient is NaN or infinite",
    default: "stop",
  },
  memory: {
    value: whole(1),
    unit: "MiB",
    help: "GPU memory for the tensors of one step; a batch that needs more is computed in slabs, whose sums round differently",
    default: 2048, // what a small GPU can spare
  },
  shards: {
    value: powerOfTwo(4096), // more GPUs than a run can use
    unit: "number",
    help: "number of groups of ghost batches, whose gradients are added in a fixed order; results are the same bit for bit on any number of ranks that divides it",
    default: 1,
    defaultText: "the number of ranks, 1 without a launcher",
  },
  seed: {
    value: whole(0, 0xffffffff),
    unit: "number",
    help: "seed of all random numbers",
    default: 123, // the authors' single seed
  },
  evaluateEvery: { value: whole(1), unit: "epochs", help: "epochs between evaluations", default: 1 },
} as const satisfies Record<string, RunOption>;
