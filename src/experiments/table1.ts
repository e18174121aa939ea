/**
 * Table 1 of Hoffer et al. 2017: validation accuracy of the small batch, the large batch, and the large batch with
 * the three cures added one after the other.
 */
import { RunSpec, type RunSpecInput } from "./run-spec.ts";

export const COLUMNS = ["SB", "LB", "LR", "GBN", "RA"] as const;
export type Column = (typeof COLUMNS)[number];

export const SCALES = ["small", "full"] as const;
export type Scale = (typeof SCALES)[number];

export interface Row {
  readonly network: string;
  readonly dataset: string;
  /** Validation accuracy as published, percent. */
  readonly paper: Readonly<Record<Column, number>>;
  /** The small batch, the large batch and the ghost size of each scale, and the rest of the runs' specification. */
  readonly scales: Readonly<Record<Scale, { small: number; large: number; ghost: number; base: Base }>>;
}

type Base = Omit<RunSpecInput, "batchSize" | "referenceBatchSize">;

/** Choices of the authors' released code, which the paper's numbers come from. */
const AS_RELEASED = { partial: "authors", runningRule: "sequential", momentumReset: "epoch", clipNorm: 5 } as const;

export const ROWS: Readonly<Record<string, Row>> = {
  f1: {
    network: "F1",
    dataset: "MNIST",
    paper: { SB: 98.27, LB: 97.05, LR: 97.55, GBN: 97.6, RA: 98.53 },
    scales: {
      full: {
        small: 128,
        large: 4096,
        ghost: 128,
        base: { dataset: "mnist", model: "f1", baseRegime: "f1", ...AS_RELEASED },
      },
      // Small enough for a CPU: 784-128-128-128-10 on 4,096 images without augmentation (docs/PAPER.md, small scale).
      small: {
        small: 32,
        large: 1024,
        ghost: 32,
        base: {
          dataset: "mnist",
          subset: { train: 4096, test: 5000, seed: 0 },
          augmentation: false,
          model: "f1",
          width: 128,
          hidden: 3,
          baseRegime: "f1-small",
          ...AS_RELEASED,
          momentumReset: "never",
        },
      },
    },
  },
};

/** The run of one cell. The columns are cumulative: each adds one cure to the one before. */
export function cellSpec(row: Row, column: Column, scale: Scale, seed: number): RunSpec {
  const { small, large, ghost, base } = row.scales[scale];
  const common = { ...base, referenceBatchSize: small, seed };
  const cures: Record<Column, Partial<RunSpecInput> & { batchSize: number }> = {
    SB: { batchSize: small },
    LB: { batchSize: large },
    LR: { batchSize: large, learningRateRule: "sqrt" },
    GBN: { batchSize: large, learningRateRule: "sqrt", ghostSize: ghost },
    // An adapted epoch costs as much as any other, so it is evaluated as often per step as the small batch is.
    RA: { batchSize: large, learningRateRule: "sqrt", ghostSize: ghost, regime: "adapted", evaluateEvery: large / small },
  };
  return RunSpec.parse({ ...common, ...cures[column] });
}
