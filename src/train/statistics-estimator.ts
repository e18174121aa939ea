/** Running statistics of a trained network computed anew from training batches, without those kept during training. */
import { type Arena, type Recording, record } from "../gpu/recording.ts";
import { SHARD_ROW } from "../kernels/shards.ts";
import { type ModelState, updateRunningStatistics } from "../nn/model-state.ts";
import { persistent } from "../tensor/tensor.ts";
import { BatchExchange } from "./batch-exchange.ts";
import type { Communicator } from "./communicator.ts";
import type { EpochPlan, GhostLayout } from "./ghosts.ts";
import { cutIntoShards, type ShardRange } from "./shards.ts";
import type { StepInputs } from "./step-inputs.ts";
import { type BatchOptions, batchLoss, type StepTensors } from "./training-step.ts";

export interface EstimatorOptions {
  readonly arena: Arena;
  readonly epoch: EpochPlan;
  readonly batch: Omit<BatchOptions, "gradientNoise">;
  /** Number of batches to average. */
  readonly batches: number;
  readonly communicator: Communicator;
  readonly range: ShardRange;
}

/** The forward pass of a batch, and the exchange of its statistics with other ranks; null if there are none. */
interface RecordedBatch {
  readonly recording: Recording;
  readonly exchange: BatchExchange | null;
}

export class StatisticsEstimator {
  readonly #state: ModelState;
  readonly #epoch: EpochPlan;
  readonly #batches: number;
  readonly #largest: RecordedBatch;
  readonly #last: RecordedBatch;

  private constructor(
    state: ModelState,
    { epoch, batches }: EstimatorOptions,
    recordings: { largest: RecordedBatch; last: RecordedBatch },
  ) {
    this.#state = state;
    this.#epoch = epoch;
    this.#batches = batches;
    this.#largest = recordings.largest;
    this.#last = recordings.last;
  }

  /** Records the forward pass of a full batch, and that of the last batch of an epoch. */
  static async create(
    state: ModelState,
    tensors: Omit<StepTensors, "order">,
    options: EstimatorOptions,
  ): Promise<StatisticsEstimator> {
    const { arena, epoch, batch, communicator, range } = options;
    const { gpu } = state;
    const metrics = persistent(gpu, [range.count, SHARD_ROW], { label: "metrics of shards" });
    const forward = async (layout: GhostLayout): Promise<RecordedBatch> => {
      const recording = await record(gpu, arena, "statistics of a batch", () => {
        const shards = cutIntoShards(layout, range.count).slice(range.first, range.first + range.own);
        for (const shard of shards) if (shard) batchLoss(state, tensors, shard, batch);
      });
      const alone = communicator.size === 1;
      const exchange = alone
        ? null
        : new BatchExchange(state, layout, { communicator, range, metrics, gradient: null });
      return { recording, exchange };
    };
    const largest = await forward(epoch.largest);
    const last = epoch.last === epoch.largest ? largest : await forward(epoch.last);
    return new StatisticsEstimator(state, options, { largest, last });
  }

  /**
   * Over batches b = 1…n, those on which the steps after `firstStep` would train:
   *
   *   running = 1/n · Σ_b mean over the ghosts of b of (mean, unbiased variance)
   *
   * as a running mean, whose b-th batch has weight 1/b.
   *
   * @param inputs positioned at `firstStep`: its epoch has begun, or begins with it
   */
  async reestimate(inputs: StepInputs, firstStep: number): Promise<void> {
    for (let b = 1; b <= this.#batches; b++) {
      const { isLast } = await inputs.write(firstStep + b - 1);
      const { recording, exchange } = isLast ? this.#last : this.#largest;
      recording.replay();
      await exchange?.run(0);
      const layout = isLast ? this.#epoch.last : this.#epoch.largest;
      // The rule keeps (1 − momentum)^K of the old value, which must be 1 − 1/b.
      const momentum = 1 - (1 - 1 / b) ** (1 / layout.ghosts);
      updateRunningStatistics(this.#state, layout, { rule: "mean", momentum });
    }
  }
}
