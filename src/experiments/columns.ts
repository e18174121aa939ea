/** The columns of Tables 1 and 2: each adds one cure to the one before. */
import { RunSpec, type RunSpecInput } from "./run-spec.ts";
import { type Scale, settingsOf } from "./scale.ts";

export const COLUMNS = ["SB", "LB", "LR", "GBN", "RA"] as const;
export type Column = (typeof COLUMNS)[number];

/** "SB", "LB", "+LR", "+GBN", "+RA", as the paper heads them. */
export function columnTitle(column: Column): string {
  return column === "SB" || column === "LB" ? column : `+${column}`;
}

export type Base = Omit<RunSpecInput, "batchSize" | "referenceBatchSize">;

/** The small batch, the large batch, the ghost size, and the rest of the runs' specification. */
export interface Setting {
  readonly small: number;
  readonly large: number;
  readonly ghost: number;
  readonly base: Base;
}

export interface Row {
  readonly network: string;
  readonly dataset: string;
  /** Validation accuracy as published, percent. */
  readonly paper: Readonly<Record<Column, number>>;
  readonly scales: Readonly<Record<"small" | "full", Setting>>;
  /** How the small scale differs from the paper's setting, for the table's caption. */
  readonly reduced: string;
}

/** Choices of the authors' released code, which the paper's numbers come from. */
export const AS_RELEASED = { partial: "authors", runningRule: "sequential", momentumReset: "epoch", clipNorm: 5 } as const;

export interface CellChoice {
  readonly column: Column;
  readonly scale: Scale;
  readonly seed: number;
  /** The images that stand in for the row's data set, from images.ts; the row's own without it. */
  readonly images?: string | undefined;
}

/** The run of one cell. */
export function cellSpec(row: Row, { column, scale, seed, images }: CellChoice): RunSpec {
  const { base: name, epochScale } = settingsOf(scale);
  const { small, large, ghost, base } = row.scales[name];
  const common = { ...base, ...(images !== undefined && { dataset: images }), referenceBatchSize: small, seed, epochScale };
  const cures: Record<Column, Partial<RunSpecInput> & { batchSize: number }> = {
    SB: { batchSize: small },
    LB: { batchSize: large },
    LR: { batchSize: large, learningRateRule: "sqrt" },
    GBN: { batchSize: large, learningRateRule: "sqrt", ghostSize: ghost },
    // An adapted epoch costs as much as any other, so it is evaluated as often per step as the small batch is.
    RA: {
      batchSize: large,
      learningRateRule: "sqrt",
      ghostSize: ghost,
      regime: "adapted",
      evaluateEvery: (base.evaluateEvery ?? 1) * (large / small),
    },
  };
  return RunSpec.parse({ ...common, ...cures[column] });
}
