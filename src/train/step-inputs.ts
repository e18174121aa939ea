/** Writes a step's inputs to the GPU before it is replayed: its numbers, its epoch's order, and the images of a streamed batch. */
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { permutation, STREAMS } from "../support/random.ts";
import { persistent, type Tensor } from "../tensor/tensor.ts";
import type { EpochPlan, PartialPolicy } from "./ghosts.ts";
import { hyperparametersAt, type Regime } from "./regime.ts";
import { type ShardRange, shareOf } from "./shards.ts";
import { StepUniform } from "./step-uniform.ts";

export interface StepInputOptions {
  readonly regime: Regime;
  readonly epoch: EpochPlan;
  readonly partial: PartialPolicy;
  /** Largest global norm of the gradient; 0 disables clipping. */
  readonly clipNorm: number;
  readonly seed: number;
  /** Epochs of earlier stages; the crops of a streamed data set depend on the epoch of the whole run. */
  readonly epochsBefore?: number;
  /** The shards of this process. For a streamed data set only their images are read. */
  readonly range: ShardRange;
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

  /** Writes everything that changes from step to step. `step` counts from 0. Returns whether it is the last of its epoch. */
  async write(step: number): Promise<{ isLast: boolean }> {
    const { regime, epochsBefore = 0 } = this.#options;
    const { stepsPerEpoch } = regime;
    const epoch = Math.floor(step / stepsPerEpoch);
    const inEpoch = step % stepsPerEpoch;
    if (inEpoch === 0) this.#writeOrder(epoch);
    const isLast = this.isLast(step);
    const { feed } = this.#train;
    if (feed) await feed.write(epochsBefore + epoch, this.#ownSamples(inEpoch));
    this.#writeStep(step);
    return { isLast };
  }

  /** Whether a step is the last of its epoch. */
  isLast(step: number): boolean {
    const { stepsPerEpoch } = this.#options.regime;
    return step % stepsPerEpoch === stepsPerEpoch - 1;
  }

  /** The range of this process's samples in a batch. */
  #share(isLast: boolean) {
    const { epoch: plan, range } = this.#options;
    return shareOf(isLast ? plan.last : plan.largest, range);
  }

  /** This process's samples in a step of the epoch, for a streamed data set. */
  #ownSamples(inEpoch: number): Uint32Array {
    const { batchSize } = this.#options.regime;
    const { firstSample, samples } = this.#share(this.isLast(inEpoch));
    const start = inEpoch * batchSize + firstSample;
    return this.#epochOrder.subarray(start, start + samples);
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
      // The window of a streamed data set begins with this process's first sample.
      firstSample: this.#train.feed
        ? -this.#share(this.isLast(step)).firstSample
        : (step % regime.stepsPerEpoch) * regime.batchSize,
    });
  }

  /** The epoch's samples in random order; for the policy "wrap", followed by the first ones of the next epoch. */
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
    // The window already holds each batch in order.
    this.#gpu.write(
      this.order,
      Uint32Array.from(order, (_, position) => position),
    );
    this.#epochOrder = order;
    feed.announce(epochsBefore + epoch, this.#ownEpoch());
  }

  /** This process's samples in all steps of the epoch. */
  #ownEpoch(): Uint32Array {
    const { stepsPerEpoch } = this.#options.regime;
    const steps = Array.from({ length: stepsPerEpoch }, (_, inEpoch) => this.#ownSamples(inEpoch));
    const all = new Uint32Array(steps.reduce((sum, { length }) => sum + length, 0));
    let length = 0;
    for (const samples of steps) {
      all.set(samples, length);
      length += samples.length;
    }
    return all;
  }
}
