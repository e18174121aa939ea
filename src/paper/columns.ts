/** The columns of Tables 1 and 2: each adds one remedy to the one before. */

import { modelEntry } from "../models/index.ts";
import { completeSpec, type RunSpec, type RunSpecInput } from "../run/run-spec.ts";
import { UsageError } from "../support/errors.ts";
import type { Precision } from "../train/precision.ts";
import { type Scale, settingsOf } from "./scale.ts";

export const COLUMNS = ["SB", "LB", "LR", "GBN", "RA"] as const;
export type Column = (typeof COLUMNS)[number];

/**
 * Methods beyond the paper's tables: the linear rule with warm-up (Goyal et al. 2017) with ghosts, multiplicative
 * gradient noise at the small batch's rate (Hoffer et al. 2017, section 4), and growing the batch instead of cutting the
 * rate (Smith et al. 2018).
 */
export const EXTRA_COLUMNS = ["LINEAR", "NOISE", "GROWTH"] as const;
export type Method = Column | (typeof EXTRA_COLUMNS)[number];
export const METHODS: readonly Method[] = [...COLUMNS, ...EXTRA_COLUMNS];

/** "SB", "LB", "+LR", "+GBN", "+RA", as in the paper, and names for the others. */
export function columnTitle(method: Method): string {
  const others: Partial<Record<Method, string>> = {
    SB: "SB",
    LB: "LB",
    LINEAR: "linear + warm-up + GBN",
    NOISE: "LB + gradient noise",
    GROWTH: "growing batch",
  };
  return others[method] ?? `+${method}`;
}

export type Base = Omit<RunSpecInput, "batchSize" | "referenceBatchSize"> &
  Pick<RunSpec, "dataset" | "model" | "baseRegime">;

/** The small batch, the large batch, the ghost size, and the rest of the runs' specification. */
export interface Setting {
  readonly small: number;
  readonly large: number;
  readonly ghost: number;
  /** Steps of the linear rule's warm-up. */
  readonly warmupSteps: number;
  readonly base: Base;
}

export interface Row {
  readonly network: string;
  readonly dataset: string;
  /** Validation accuracy as published, percent; null for a setting that the paper did not publish. */
  readonly paper: Readonly<Record<Column, number | null>>;
  readonly scales: Readonly<Record<"small" | "full", Setting>>;
  /** How the small scale differs from the paper's setting, apart from its batches, for the caption. */
  readonly reduced: string;
}

/**
 * A row with another large batch at a scale: the same small batch, ghosts and epochs, and a warm-up over as many samples. Only SB
 * keeps its published accuracy, because the paper trained the other columns with the row's own large batch.
 * @param large images in the large batch
 * @throws UsageError for a large batch that is not above the row's small batch at this scale
 */
export function withLargeBatch(row: Row, large: number, scale: Scale): Row {
  const { base: name } = settingsOf(scale);
  const setting = row.scales[name];
  if (large === setting.large) return row;
  if (large <= setting.small)
    throw new UsageError(
      `--large-batch ${large}: expected more than the small batch of ${row.network} at this scale, ${setting.small}`,
    );
  const warmupSteps = Math.max(1, Math.round((setting.warmupSteps * setting.large) / large));
  return {
    ...row,
    network: `${row.network}, batch ${large}`,
    paper: { SB: row.paper.SB, LB: null, LR: null, GBN: null, RA: null },
    scales: { ...row.scales, [name]: { ...setting, large, warmupSteps } },
  };
}

/** Choices of the authors' released code, which produced the paper's numbers. */
export const AS_RELEASED = {
  partial: "authors",
  runningRule: "sequential",
  momentumReset: "epoch",
  clipNorm: 5,
} as const;

/**
 * Choices that the paper does not state. "defaults": those of `train`. "published": those that come nearest to the published row in
 * docs/RESULTS.md: gamma from U(0, 1), where the released code uses the default of 2017's PyTorch.
 */
export const CHOICES = ["defaults", "published"] as const;
export type Choices = (typeof CHOICES)[number];

export interface CellChoice {
  readonly column: Method;
  readonly scale: Scale;
  readonly seed: number;
  /** By default "defaults". */
  readonly choices?: Choices | undefined;
  /** Images used instead of the row's data set, from images.ts; by default the row's own. */
  readonly images?: string | undefined;
  /** Training batches on which running statistics are re-estimated for a second accuracy; none by default. */
  readonly reestimateStatistics?: number | undefined;
  /** GPU memory for a step in MiB, if not a run's default. */
  readonly memory?: number | undefined;
  /** "f32" by default. */
  readonly precision?: Precision | undefined;
}

/** The run of one cell. */
export function cellSpec(
  row: Row,
  { column, scale, seed, choices, images, reestimateStatistics, memory, precision }: CellChoice,
): RunSpec {
  const { base: name, epochScale } = settingsOf(scale);
  const { small, large, ghost, warmupSteps, base } = row.scales[name];
  const warmup = Math.max(1, Math.round(warmupSteps * epochScale));
  const common = {
    ...base,
    ...(images !== undefined && { dataset: images }),
    ...(choices === "published" &&
      modelEntry(base.model).options.includes("gamma") && { gamma: "uniform" as const }),
    referenceBatchSize: small,
    seed,
    epochScale,
    reestimateStatistics,
    memory,
    precision,
  };
  const cures: Record<Method, RunSpecInput & { batchSize: number }> = {
    SB: { batchSize: small },
    LB: { batchSize: large },
    LR: { batchSize: large, learningRateRule: "sqrt" },
    GBN: { batchSize: large, learningRateRule: "sqrt", ghostSize: ghost },
    // Adapted epochs are longer in total, so the run is evaluated as often per step as the small batch.
    RA: {
      batchSize: large,
      learningRateRule: "sqrt",
      ghostSize: ghost,
      regime: "adapted",
      evaluateEvery: Math.round((base.evaluateEvery ?? 1) * (large / small)),
    },
    LINEAR: { batchSize: large, learningRateRule: "linear", ghostSize: ghost, warmupSteps: warmup },
    // σ² = B / B_S − 1 gives the large batch's mean gradient the covariance of the small one's.
    NOISE: { batchSize: large, gradientNoise: Math.sqrt(large / small - 1) },
    GROWTH: { batchSize: small, ghostSize: ghost, batchGrowth: true },
  };
  return completeSpec({ ...common, ...cures[column] });
}
