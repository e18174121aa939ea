/** Options and events of a trainer. */
import type { Communicator } from "./communicator.ts";
import type { Evaluation } from "./evaluate.ts";
import type { StepInputOptions } from "./step-inputs.ts";
import type { Distances, StepMetrics } from "./step-log.ts";
import type { Votes } from "./step-recordings.ts";
import type { OnNan, RunningStatisticsOptions } from "./training-step.ts";

export interface TrainOptions extends Omit<StepInputOptions, "range"> {
  readonly running: RunningStatisticsOptions;
  readonly augmentation: boolean;
  /** Epochs between evaluations. There is always one after the last step. */
  readonly evaluateEvery: number;
  /** The most samples in one evaluation batch. */
  readonly evaluationBatch: number;
  /** Steps between read-backs of the metrics, at most LOG_ROWS. */
  readonly logEvery: number;
  /** The most memory for the tensors of one step, or of one evaluation batch, bytes. Larger batches are cut into slabs. */
  readonly memoryBytes: number;
  /** The most samples in one slab, instead of the choice by memory. The bits of a run depend on its slabs. */
  readonly slabSamples?: number | undefined;
  /** "skip" omits the update of a step whose loss or gradient norm is NaN or infinite. */
  readonly onNan?: OnNan;
  /**
   * Training batches over which running statistics are averaged anew after the last evaluation, followed by another
   * evaluation; 0, the default, for neither.
   */
  readonly reestimateStatistics?: number;
  /** σ of the factors z_n ~ N(1, σ²) by which samples' gradients are multiplied; 0 for none. */
  readonly gradientNoise?: number;
  /** Loss scale, a power of two; `lossScaleOf` the batch by default, 1 in f32. */
  readonly lossScale?: number;
  /** P: number of shards whose gradients are added in a fixed tree, a power of two; 1 by default. */
  readonly shards?: number;
  /** The ranks that share the shards; by default this process has them all. */
  readonly communicator?: Communicator;
  readonly votes?: Votes;
}

export type TrainEvent =
  | {
      readonly kind: "metrics";
      readonly steps: readonly StepMetrics[];
      readonly distances: readonly Distances[];
      /** Number of NaN or infinite parameters and running statistics after the last step. */
      readonly nonFinite: number;
    }
  | ({ readonly kind: "evaluation"; readonly step: number; readonly epoch: number } & Evaluation)
  /** After the last step, with running statistics estimated anew. */
  | ({ readonly kind: "reestimated"; readonly step: number; readonly epoch: number } & Evaluation);
