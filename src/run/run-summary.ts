import { z } from "zod";

const count = z.int().min(0);
// JSON has no infinity and no NaN.
const measured = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

/** What a finished run says; percentages are of the test split. */
export const RunSummary = z.looseObject({
  /** At the end, with the running statistics that training has left. */
  accuracy: z.number(),
  /** The same with running statistics re-estimated on training batches (--reestimate-statistics); the run's weights have those. */
  reestimatedAccuracy: z.number().optional(),
  best: z.number(),
  /** Steps done at the best evaluation. */
  bestStep: count,
  /** Mean over the last five evaluations. */
  lastFive: z.number(),
  testLoss: measured,
  steps: count,
  /** Share of the initial running statistics (mean 0, variance 1) that is left after the last step; older runs do not tell. */
  retainedStatistics: z.number().optional(),
  /** Steps that changed nothing because their loss or gradient was not finite (--on-nan skip). */
  skippedSteps: count,
  /** Training samples seen. */
  samples: count,
  /** Floating-point operations of the training steps. */
  flops: z.number(),
  /** Wall time of training and evaluation, without set-up and compilation, over all processes that worked on the run. */
  seconds: z.number(),
  /** Of the last of these processes. */
  setupSeconds: z.number(),
  imagesPerSecond: z.number(),
  distanceFirst: measured,
  distanceAll: measured,
  /** Samples that were normalized together; of a batch that grows, in its first size. */
  ghostSize: count,
  slabSamples: count,
  dispatchesPerStep: count,
  gpuBytes: count,
});
export type RunSummary = Readonly<z.infer<typeof RunSummary>>;
