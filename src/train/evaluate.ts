import type { Feed, ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Arena, planRecording, type Recording, record } from "../gpu/recording.ts";
import type { ModelState } from "../nn/model-state.ts";
import { fromArray, persistent, readFloats, type Tensor } from "../tensor/tensor.ts";
import { chooseEvaluationBatch } from "./slab-size.ts";
import { StepUniform } from "./step-uniform.ts";
import { evaluationStep } from "./training-step.ts";

export interface Evaluation {
  /** Mean cross-entropy over the test samples. */
  readonly loss: number;
  /** Percent of samples whose class ranks first, and among the first five. */
  readonly accuracy: number;
  readonly accuracyTop5: number;
  readonly samples: number;
}

interface EvaluationBatch {
  readonly recording: Recording;
  readonly firstSample: number;
  readonly samples: number;
}

/** The test split through the network with running statistics; does not depend on batch or ghost size. */
export class Evaluator {
  readonly #gpu: Gpu;
  readonly #log: Tensor;
  readonly #step: StepUniform;
  readonly #batches: readonly EvaluationBatch[];
  readonly #samples: number;
  readonly #feed: Feed | undefined;

  private constructor(
    gpu: Gpu,
    samples: number,
    parts: { log: Tensor; step: StepUniform; batches: readonly EvaluationBatch[]; feed: Feed | undefined },
  ) {
    this.#gpu = gpu;
    this.#samples = samples;
    this.#log = parts.log;
    this.#step = parts.step;
    this.#batches = parts.batches;
    this.#feed = parts.feed;
  }

  /**
   * @param options.batchSize samples of one batch at most
   * @param options.memoryBytes that the tensors of one batch may take
   * @throws CapacityError when not even one sample fits
   */
  static async create(
    gpu: Gpu,
    arena: Arena,
    state: ModelState,
    data: ResidentDataset,
    options: { batchSize: number; memoryBytes: number },
  ): Promise<Evaluator> {
    const { count } = data.test;
    const step = new StepUniform(gpu);
    const log = persistent(gpu, [1, 8], { label: "evaluation" });
    const order = fromArray(
      gpu,
      Uint32Array.from({ length: count }, (_, i) => i),
      [count],
      "test order",
    );
    const body = (samples: number) => () =>
      evaluationStep(state, data, { order, step: step.tensor, log }, samples);
    const batchSize = chooseEvaluationBatch(
      Math.min(options.batchSize, count),
      options.memoryBytes,
      (samples) => planRecording(gpu, body(samples)).bytes,
    );
    const recordings = new Map<number, Recording>();
    const batches: EvaluationBatch[] = [];
    for (let firstSample = 0; firstSample < count; firstSample += batchSize) {
      const samples = Math.min(batchSize, count - firstSample);
      let recording = recordings.get(samples);
      if (!recording) {
        recording = await record(gpu, arena, "evaluation", body(samples));
        recordings.set(samples, recording);
      }
      batches.push({ recording, firstSample, samples });
    }
    return new Evaluator(gpu, count, { log, step, batches, feed: data.test.feed });
  }

  async run(): Promise<Evaluation> {
    this.#gpu.write(this.#log, new Float32Array(8));
    this.#feed?.announce(
      0,
      Uint32Array.from({ length: this.#samples }, (_, i) => i),
    );
    for (const { recording, firstSample, samples } of this.#batches) {
      const still = { learningRate: 0, momentum: 0, weightDecay: 0, clipNorm: 0, seed: 0, epoch: 0, step: 0 };
      if (this.#feed)
        await this.#feed.write(
          0,
          Uint32Array.from({ length: samples }, (_, i) => firstSample + i),
        );
      this.#step.write({ ...still, firstSample: this.#feed ? 0 : firstSample });
      recording.replay();
    }
    const [loss, top1, top5] = await readFloats(this.#log);
    const percent = 100 / this.#samples;
    return { loss: loss!, accuracy: top1! * percent, accuracyTop5: top5! * percent, samples: this.#samples };
  }
}
