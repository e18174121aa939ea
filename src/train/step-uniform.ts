/** The Step uniform of shaders/lib/step.wgsl: what changes from one training step to the next. */
import type { Gpu } from "../gpu/gpu.ts";
import { persistent, type Tensor } from "../tensor/tensor.ts";

export interface StepValues {
  readonly learningRate: number;
  /** 0 in the first step after a momentum reset. */
  readonly momentum: number;
  readonly weightDecay: number;
  /** Largest global norm of the gradient; 0 disables clipping. */
  readonly clipNorm: number;
  readonly seed: number;
  readonly epoch: number;
  readonly step: number;
  /** Position of the batch's first sample in the epoch's order, modulo 2^32, as the kernels add to it. */
  readonly firstSample: number;
}

/** A step that changes nothing: rate 0, without momentum, decay or clipping. */
export const IDLE_STEP: StepValues = {
  learningRate: 0,
  momentum: 0,
  weightDecay: 0,
  clipNorm: 0,
  seed: 0,
  epoch: 0,
  step: 0,
  firstSample: 0,
};

const WORDS = 8;

export class StepUniform {
  readonly tensor: Tensor;
  readonly #gpu: Gpu;
  readonly #floats = new Float32Array(WORDS);
  readonly #words = new Uint32Array(this.#floats.buffer);

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
    this.tensor = persistent(gpu, [WORDS], { label: "step", usage: "uniform" });
  }

  write(values: StepValues): void {
    const { learningRate, momentum, weightDecay, clipNorm, seed, epoch, step, firstSample } = values;
    this.#floats.set([learningRate, momentum, weightDecay, clipNorm]);
    this.#words.set([seed, epoch, step, firstSample], 4);
    this.#gpu.write(this.tensor, this.#floats);
  }
}
