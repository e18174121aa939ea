/** What a trainer is told, and what it tells. */
import type { Communicator } from "./communicator.ts";
import type { Evaluation } from "./evaluate.ts";
import type { StepInputOptions } from "./step-inputs.ts";
import type { Distances, StepMetrics } from "./step-log.ts";
import type { Votes } from "./step-recordings.ts";
import type { OnNan, RunningStatisticsOptions } from "./training-step.ts";

export interface TrainOptions extends Omit<StepInputOptions, "range"> {
  readonly running: RunningStatisticsOptions;
  readonly augmentation: boolean;
  /** Epochs between evaluations; there is always one after the last step. */
  readonly evaluateEvery: number;
  /** Samples of one evaluation batch at most. */
  readonly evaluationBatch: number;
  /** Steps between read-backs of the metrics, at most LOG_ROWS. */
  readonly logEvery: number;
  /** Bytes that the tensors of one step, or of one evaluation batch, may take; larger batches are cut into slabs. */
  readonly memoryBytes: number;
  /** Samples in one slab at most, in place of the choice by memory: the bits of a run depend on its slabs. */
  readonly slabSamples?: number | undefined;
  /** "skip" leaves out the update of a step whose loss or gradient norm is NaN or infinite. */
  readonly onNan?: OnNan;
  /**
   * Training batches over which running statistics are averaged anew after the last evaluation, for one more; 0, the default,
   * for neither.
   */
  readonly reestimateStatistics?: number;
  /** σ of the factors z_n ~ N(1, σ²) that samples' gradients are multiplied by; 0 for none. */
  readonly gradientNoise?: number;
  /** What gradients are multiplied by on the way back, a power of two; `lossScaleOf` the batch by default, 1 in f32. */
  readonly lossScale?: number;
  /** P: groups of ghosts whose gradients are added in a fixed tree, a power of two; 1 by default. */
  readonly shards?: number;
  /** The ranks that share the shards; without, this process has them all. */
  readonly communicator?: Communicator;
  readonly votes?: Votes;
}

export type TrainEvent =
  | {
      readonly kind: "metrics";
      readonly steps: readonly StepMetrics[];
      readonly distances: readonly Distances[];
      /** How many parameters and running statistics are NaN or infinite after the last of the steps. */
      readonly nonFinite: number;
    }
  | ({ readonly kind: "evaluation"; readonly step: number; readonly epoch: number } & Evaluation)
  /** After the last step, with running statistics estimated anew. */
  | ({ readonly kind: "reestimated"; readonly step: number; readonly epoch: number } & Evaluation);
