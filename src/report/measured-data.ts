/** Schemas of the numbers in records of measurements, by the record's kind. */
import { z } from "zod";

// JSON has no infinity and no NaN.
const measured = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);

/** The loss along random directions. */
export const DirectionData = z.object({
  kind: z.string(),
  range: z.number(),
  startLoss: measured,
  gradientNorm: measured,
  taylorSlope: measured,
  bins: z.array(z.object({ distance: z.number(), deviation: measured, shift: measured, points: z.number() })),
  floor: measured,
  slope: measured,
  exponent: measured,
  exponentError: measured.optional(),
  /** tr(H) / P from the mean shift of the loss, if fitted. */
  curvature: measured.optional(),
  curvatureError: measured.optional(),
  leavesTaylorAt: z.number().nullable(),
});
export type DirectionData = z.output<typeof DirectionData>;

export const CovarianceData = z.object({
  ghostSize: z.number().nullable(),
  points: z.array(
    z.object({
      batchSize: z.number(),
      trace: measured,
      scaled: measured,
      /** Standard error of `scaled`. */
      scaledError: measured.optional(),
    }),
  ),
  slope: measured,
  slopeError: measured,
});
export type CovarianceData = z.output<typeof CovarianceData>;

export const RatioData = z.object({
  ghostSize: z.number(),
  batches: z.number(),
  /** B_simple; null if the mean of the gradient cannot be distinguished from 0. */
  scale: z.number().nullable(),
  ratios: z.array(z.object({ batchSize: z.number(), ratio: z.number().nullable() })),
  medianRatio: measured,
});
export type RatioData = z.output<typeof RatioData>;

export const NoiseScaleData = z.object({
  scale: z.number().nullable(),
  interval: z.object({ low: measured, high: measured }).nullable(),
  squaredGradient: measured,
  trace: measured,
  small: z.number(),
  large: z.number(),
  /** Squared norms of the gradients of small and large batches. */
  rounds: z.array(z.object({ small: z.number(), large: z.number() })),
});
export type NoiseScaleData = z.output<typeof NoiseScaleData>;

export const SharpnessData = z.object({
  space: z.string(),
  epsilon: z.number(),
  /** Percent. */
  sharpness: measured,
  startLoss: measured,
  highestLoss: measured,
});
export type SharpnessData = z.output<typeof SharpnessData>;

/** The schema of a record's `data`, by its kind; other kinds have none. */
export const DATA_OF_KIND: Readonly<Record<string, z.ZodType>> = {
  figure4: z.array(DirectionData),
  "measure-directions": z.array(DirectionData),
  "measure-covariance": z.array(CovarianceData),
  "measure-ratio": RatioData,
  "measure-noise-scale": NoiseScaleData,
  "measure-sharpness": z.array(SharpnessData),
};
