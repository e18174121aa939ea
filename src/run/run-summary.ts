import { z } from "zod";

const count = z.int().min(0);
// JSON has no infinity and no NaN.
const measured = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

/** The outcome of a finished run; percentages are of the test split. */
export const RunSummary = z.looseObject({
  /** At the end, with the running statistics from training. */
  accuracy: z.number(),
  /** The same with running statistics re-estimated on training batches (--reestimate-statistics), which the saved weights contain. */
  reestimatedAccuracy: z.number().optional(),
  best: z.number(),
  /** Completed steps at the best evaluation. */
  bestStep: count,
  /** Mean over the last five evaluations. */
  lastFive: z.number(),
  testLoss: measured,
  steps: count,
  /** Fraction of the initial running statistics (mean 0, variance 1) left after the last step; absent in older runs. */
  retainedStatistics: z.number().optional(),
  /** Steps skipped because their loss or gradient was not finite (--on-nan skip). */
  skippedSteps: count,
  /** Number of training samples seen. */
  samples: count,
  /** Floating-point operations of the training steps. */
  flops: z.number(),
  /** Wall time of training and evaluation, without set-up and compilation, summed over all processes that worked on the run. */
  seconds: z.number(),
  /** Of the last of these processes. */
  setupSeconds: z.number(),
  imagesPerSecond: z.number(),
  distanceFirst: measured,
  distanceAll: measured,
  /** Samples normalized together; for a growing batch, at its first size. */
  ghostSize: count,
  slabSamples: count,
  dispatchesPerStep: count,
  gpuBytes: count,
});
export type RunSummary = Readonly<z.infer<typeof RunSummary>>;
