/** What is written to the GPU before a step is replayed: its numbers, its epoch's order, and the images of a streamed batch. */
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { permutation, STREAMS } from "../support/random.ts";
import { persistent, type Tensor } from "../tensor/tensor.ts";
import type { EpochPlan, PartialPolicy } from "./ghosts.ts";
import { hyperparametersAt, type Regime } from "./regime.ts";
import { StepUniform } from "./step-uniform.ts";

export interface StepInputOptions {
  readonly regime: Regime;
  readonly epoch: EpochPlan;
  readonly partial: PartialPolicy;
  /** Global norm that the gradient is clipped to; 0 does not clip. */
  readonly clipNorm: number;
  readonly seed: number;
  /** Epochs that others have trained before: a streamed data set crops by the epoch counted through. */
  readonly epochsBefore?: number;
}

export class StepInputs {
  /** [samples or more] u32: which sample stands at each position of the epoch. */
  readonly order: Tensor;
  readonly #step: StepUniform;
  readonly #gpu: Gpu;
  readonly #train: ResidentDataset["train"];
  readonly #options: StepInputOptions;
  /** The samples of the epoch in their order, for a streamed data set. */
  #epochOrder = new Uint32Array();

  constructor(gpu: Gpu, { train }: ResidentDataset, options: StepInputOptions) {
    const longest = train.count + options.regime.batchSize; // policy "wrap" reads on into the next epoch
    this.order = persistent(gpu, [longest], { dtype: "u32", label: "order" });
    this.#step = new StepUniform(gpu);
    this.#gpu = gpu;
    this.#train = train;
    this.#options = options;
  }

  /** The Step uniform. */
  get step(): Tensor {
    return this.#step.tensor;
  }

  /** Prepares for `write(step)` and the steps after it. */
  beginAt(step: number): void {
    const { stepsPerEpoch } = this.#options.regime;
    if (step % stepsPerEpoch !== 0) this.#writeOrder(Math.floor(step / stepsPerEpoch));
  }

  /** Writes all that a step, counted from 0, differs by; whether it is the last of its epoch. */
  async write(step: number): Promise<{ isLast: boolean }> {
    const { regime, epoch: plan, epochsBefore = 0 } = this.#options;
    const { stepsPerEpoch, batchSize } = regime;
    const epoch = Math.floor(step / stepsPerEpoch);
    const inEpoch = step % stepsPerEpoch;
    if (inEpoch === 0) this.#writeOrder(epoch);
    const isLast = inEpoch === stepsPerEpoch - 1;
    const { feed } = this.#train;
    if (feed) {
      const samples = (isLast ? plan.last : plan.largest).total;
      await feed.write(
        epochsBefore + epoch,
        this.#epochOrder.subarray(inEpoch * batchSize, inEpoch * batchSize + samples),
      );
    }
    this.#writeStep(step);
    return { isLast };
  }

  #writeStep(step: number): void {
    const { regime, clipNorm, seed } = this.#options;
    const { learningRate, momentum, weightDecay, resetMomentum } = hyperparametersAt(regime, step);
    this.#step.write({
      learningRate,
      momentum: resetMomentum ? 0 : momentum,
      weightDecay,
      clipNorm,
      seed,
      epoch: Math.floor(step / regime.stepsPerEpoch),
      step,
      firstSample: this.#train.feed ? 0 : (step % regime.stepsPerEpoch) * regime.batchSize,
    });
  }

  /** The epoch's samples in random order; for the policy "wrap" followed by the first of the next epoch. */
  #writeOrder(epoch: number): void {
    const { seed, partial, regime, epochsBefore = 0 } = this.#options;
    const { count } = this.#train;
    const order = new Uint32Array(this.order.size);
    order.set(permutation(count, { seed, stream: STREAMS.shuffle, epoch }));
    if (partial === "wrap") {
      const next = permutation(count, { seed, stream: STREAMS.shuffle, epoch: epoch + 1 });
      order.set(next.subarray(0, Math.min(regime.batchSize, count)), count);
    }
    const { feed } = this.#train;
    if (!feed) {
      this.#gpu.write(this.order, order);
      return;
    }
    // The window holds each batch in its order already.
    this.#gpu.write(
      this.order,
      Uint32Array.from(order, (_, position) => position),
    );
    feed.announce(epochsBefore + epoch, order.subarray(0, count));
    this.#epochOrder = order;
  }
}
