/**
 * Loss and gradient of a model at given weights, on given samples, without training it: the basis of all
 * measurements. Batch norm normalizes each ghost by its own statistics, and dropout is active, as in training.
 */
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, planRecording, type Recording, record } from "../gpu/recording.ts";
import type { ModelState } from "../nn/model-state.ts";
import { RUN_OPTIONS } from "../run/run-options.ts";
import { persistent, readFloats, type Tensor } from "../tensor/tensor.ts";
import { type GhostLayout, partitionBatch } from "../train/ghosts.ts";
import { lossScaleOf, unscaled } from "../train/precision.ts";
import { chooseSlab } from "../train/slab-size.ts";
import { StepUniform } from "../train/step-uniform.ts";
import { batchGradient, batchLoss, gatherTraining } from "../train/training-step.ts";

export interface ProbeOptions {
  /** Samples per batch. */
  readonly batchSize: number;
  /** Samples normalized together. */
  readonly ghostSize: number;
  /** The most memory for the tensors of a batch, bytes; larger ones are computed in slabs of whole ghosts. The default is that of a run. */
  readonly memoryBytes?: number | undefined;
  /** Memory shared by probes that are not used at the same time. */
  readonly arena?: Arena;
  /** σ of the factors z_n ~ N(1, σ²) on samples' gradients; none by default. */
  readonly gradientNoise?: number;
  /** In place of the loss scale that follows from precision and batch. */
  readonly lossScale?: number;
}

/** Values of the Step uniform; nothing is updated, so rates do not matter. */
const STILL = { learningRate: 0, momentum: 0, weightDecay: 0, clipNorm: 0, epoch: 0 };

export interface ProbedGradient {
  readonly loss: number;
  /** The flat gradient; gaps between parameters are 0. */
  readonly gradient: Float32Array<ArrayBuffer>;
}

/** Gradients of whole batches of training images, unaugmented. */
export class GradientProbe {
  readonly layout: GhostLayout;
  readonly #gpu: Gpu;
  readonly #state: ModelState;
  readonly #recordings: { gradient: Recording; loss: Recording };
  readonly #tensors: { order: Tensor; log: Tensor };
  readonly #step: StepUniform;
  readonly #lossScale: number;

  private constructor(
    state: ModelState,
    parts: {
      layout: GhostLayout;
      recordings: { gradient: Recording; loss: Recording };
      tensors: { order: Tensor; log: Tensor };
      step: StepUniform;
      lossScale: number;
    },
  ) {
    this.#gpu = state.gpu;
    this.#state = state;
    this.layout = parts.layout;
    this.#recordings = parts.recordings;
    this.#tensors = parts.tensors;
    this.#step = parts.step;
    this.#lossScale = parts.lossScale;
  }

  /** The model must have been materialized for at least the ghosts of a batch. */
  static async create(
    state: ModelState,
    data: ResidentDataset,
    options: ProbeOptions,
  ): Promise<GradientProbe> {
    const { gpu } = state;
    const { batchSize, ghostSize, gradientNoise = 0, arena = new Arena(gpu) } = options;
    const { memoryBytes = RUN_OPTIONS.memory.default * 2 ** 20 } = options;
    const layout = partitionBatch({ samples: batchSize, batchSize, ghostSize, policy: "exact" });
    const step = new StepUniform(gpu);
    const tensors = {
      order: persistent(gpu, [batchSize], { dtype: "u32", label: "order" }),
      log: persistent(gpu, [1, 8], { label: "log" }),
    };
    const all = { ...tensors, step: step.tensor };
    const input = gatherTraining(state, data, all, false);
    const { lossScale = state.activations === "f16" ? lossScaleOf(batchSize) : 1 } = options;
    const gradient = (slabSamples: number) => () =>
      batchGradient(state, all, layout, { slabSamples, input, gradientNoise, lossScale });
    const slabSamples = chooseSlab(
      layout,
      memoryBytes,
      (_, samples) => planRecording(gpu, gradient(samples)).bytes,
    );
    const recordings = {
      gradient: await record(gpu, arena, "gradient", gradient(slabSamples)),
      loss: await record(gpu, arena, "loss", () => batchLoss(state, all, layout, { slabSamples, input })),
    };
    return new GradientProbe(state, { layout, recordings, tensors, step, lossScale });
  }

  /** @param samples [batchSize] indices in the training split; `draw` decides dropout's mask and the noise */
  async gradient(samples: Uint32Array<ArrayBuffer>, draw = 0): Promise<ProbedGradient> {
    const loss = await this.#replay(this.#recordings.gradient, samples, draw);
    return { loss, gradient: unscaled(await readFloats(this.#state.gradients), this.#lossScale) };
  }

  /** Only the loss: a forward pass. */
  loss(samples: Uint32Array<ArrayBuffer>, draw = 0): Promise<number> {
    return this.#replay(this.#recordings.loss, samples, draw);
  }

  async #replay(recording: Recording, samples: Uint32Array<ArrayBuffer>, draw: number): Promise<number> {
    this.#gpu.write(this.#tensors.order, samples);
    this.#step.write({ ...STILL, seed: draw, step: 0, firstSample: 0 });
    recording.replay();
    return (await readFloats(this.#tensors.log))[0]!;
  }
}

/** Ranges of the parameters in the flat buffers; everything else is a gap that stays 0. */
export function parameterRanges(
  state: ModelState,
): { readonly name: string; readonly start: number; readonly size: number }[] {
  return state.parameters.map(([name, { value, size }]) => ({ name, start: value.byteOffset / 4, size }));
}
