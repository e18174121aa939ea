/** Running statistics of a trained network from training batches alone, with nothing left of those that training kept. */
import { type Arena, type Recording, record } from "../gpu/recording.ts";
import { type ModelState, updateRunningStatistics } from "../nn/model-state.ts";
import type { EpochPlan, GhostLayout } from "./ghosts.ts";
import type { StepInputs } from "./step-inputs.ts";
import { type BatchOptions, batchLoss, type StepTensors } from "./training-step.ts";

export interface EstimatorOptions {
  readonly arena: Arena;
  readonly epoch: EpochPlan;
  readonly batch: Omit<BatchOptions, "gradientNoise">;
  /** How many are averaged. */
  readonly batches: number;
}

export class StatisticsEstimator {
  readonly #state: ModelState;
  readonly #epoch: EpochPlan;
  readonly #batches: number;
  readonly #largest: Recording;
  readonly #last: Recording;

  private constructor(
    state: ModelState,
    { epoch, batches }: EstimatorOptions,
    recordings: { largest: Recording; last: Recording },
  ) {
    this.#state = state;
    this.#epoch = epoch;
    this.#batches = batches;
    this.#largest = recordings.largest;
    this.#last = recordings.last;
  }

  /** Records the forward pass of a batch, and that of the last batch of an epoch. */
  static async create(
    state: ModelState,
    tensors: Omit<StepTensors, "order">,
    options: EstimatorOptions,
  ): Promise<StatisticsEstimator> {
    const { arena, epoch, batch } = options;
    const forward = (layout: GhostLayout) =>
      record(state.gpu, arena, "statistics of a batch", () => batchLoss(state, tensors, layout, batch));
    const largest = await forward(epoch.largest);
    const last = epoch.last === epoch.largest ? largest : await forward(epoch.last);
    return new StatisticsEstimator(state, options, { largest, last });
  }

  /**
   * Over batches b = 1…n, those that the steps after `firstStep` would train on:
   *
   *   running = 1/n · Σ_b mean over the ghosts of b of (mean, unbiased variance)
   *
   * as a running mean, whose b-th batch has weight 1/b.
   *
   * @param inputs that stand at `firstStep`: its epoch has begun, or begins with it
   */
  async reestimate(inputs: StepInputs, firstStep: number): Promise<void> {
    for (let b = 1; b <= this.#batches; b++) {
      const { isLast } = await inputs.write(firstStep + b - 1);
      (isLast ? this.#last : this.#largest).replay();
      const layout = isLast ? this.#epoch.last : this.#epoch.largest;
      // The rule keeps (1 − momentum)^K of the old, which is to be 1 − 1/b.
      const momentum = 1 - (1 - 1 / b) ** (1 / layout.ghosts);
      updateRunningStatistics(this.#state, layout, { rule: "mean", momentum });
    }
  }
}
