import type { Feed, ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { type Arena, planRecording, type Recording, record } from "../gpu/recording.ts";
import type { ModelState } from "../nn/model-state.ts";
import { fromArray, persistent, readFloats, type Tensor } from "../tensor/tensor.ts";
import { ALONE, type Communicator } from "./communicator.ts";
import { type ShardRange, WHOLE } from "./shards.ts";
import { chooseEvaluationBatch } from "./slab-size.ts";
import { StepUniform } from "./step-uniform.ts";
import { evaluationStep } from "./training-step.ts";

export interface Evaluation {
  /** Mean cross-entropy over the test samples. */
  readonly loss: number;
  /** Percentage of samples whose class ranks first, and among the first five. */
  readonly accuracy: number;
  readonly accuracyTop5: number;
  readonly samples: number;
}

interface EvaluationBatch {
  readonly recording: Recording;
  readonly firstSample: number;
  readonly samples: number;
}

/** Numbers of the log, a row of metrics. */
const ROW = 8;

/**
 * Evaluates the test split with running statistics; the result does not depend on batch or ghost size. Its batches have as
 * many shards as training batches. Each rank evaluates its own, and the metrics are added in order.
 */
export class Evaluator {
  readonly #gpu: Gpu;
  readonly #log: Tensor;
  readonly #step: StepUniform;
  /** One for each shard of this process. */
  readonly #shards: readonly (readonly EvaluationBatch[])[];
  readonly #samples: number;
  readonly #feed: Feed | undefined;
  readonly #communicator: Communicator;

  private constructor(
    gpu: Gpu,
    samples: number,
    parts: {
      log: Tensor;
      step: StepUniform;
      shards: readonly (readonly EvaluationBatch[])[];
      feed: Feed | undefined;
      communicator: Communicator;
    },
  ) {
    this.#gpu = gpu;
    this.#samples = samples;
    this.#log = parts.log;
    this.#step = parts.step;
    this.#shards = parts.shards;
    this.#feed = parts.feed;
    this.#communicator = parts.communicator;
  }

  /**
   * @param options.batchSize the most samples in one batch
   * @param options.memoryBytes the most memory for the tensors of one batch
   * @throws CapacityError when not even one sample fits
   */
  static async create(
    gpu: Gpu,
    arena: Arena,
    state: ModelState,
    data: ResidentDataset,
    options: { batchSize: number; memoryBytes: number; communicator?: Communicator; range?: ShardRange },
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
    const batchAt = async (firstSample: number): Promise<EvaluationBatch> => {
      const samples = Math.min(batchSize, count - firstSample);
      const recording = recordings.get(samples) ?? (await record(gpu, arena, "evaluation", body(samples)));
      recordings.set(samples, recording);
      return { recording, firstSample, samples };
    };
    const { range = WHOLE, communicator = ALONE } = options;
    const batches = Math.ceil(count / batchSize);
    const start = (shard: number) => Math.floor((shard * batches) / range.count);
    const shards: EvaluationBatch[][] = [];
    for (let shard = range.first; shard < range.first + range.own; shard++) {
      const own: EvaluationBatch[] = [];
      for (let b = start(shard); b < start(shard + 1); b++) own.push(await batchAt(b * batchSize));
      shards.push(own);
    }
    return new Evaluator(gpu, count, { log, step, shards, feed: data.test.feed, communicator });
  }

  async run(): Promise<Evaluation> {
    this.#feed?.announce(0, Uint32Array.from(this.#shards.flat().flatMap(samplesOf)));
    const own = new Float32Array(ROW * this.#shards.length);
    for (const [index, batches] of this.#shards.entries()) {
      this.#gpu.write(this.#log, new Float32Array(ROW));
      for (const batch of batches) await this.#submit(batch);
      own.set(await readFloats(this.#log), index * ROW);
    }
    const all = new Float32Array(
      (await this.#communicator.gather(new Uint8Array(own.buffer))).slice().buffer,
    );
    let [loss, top1, top5] = [0, 0, 0];
    for (let row = 0; row < all.length; row += ROW) {
      loss += all[row]!;
      top1 += all[row + 1]!;
      top5 += all[row + 2]!;
    }
    const percent = 100 / this.#samples;
    return { loss, accuracy: top1 * percent, accuracyTop5: top5 * percent, samples: this.#samples };
  }

  async #submit(batch: EvaluationBatch): Promise<void> {
    const still = { learningRate: 0, momentum: 0, weightDecay: 0, clipNorm: 0, seed: 0, epoch: 0, step: 0 };
    if (this.#feed) await this.#feed.write(0, Uint32Array.from(samplesOf(batch)));
    this.#step.write({ ...still, firstSample: this.#feed ? 0 : batch.firstSample });
    batch.recording.replay();
  }
}

function samplesOf({ firstSample, samples }: EvaluationBatch): number[] {
  return Array.from({ length: samples }, (_, i) => firstSample + i);
}
