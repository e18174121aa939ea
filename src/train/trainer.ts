/**
 * The training loop. It writes a few numbers per step and replays the recorded step; the data set, the order of the
 * samples and the metrics stay on the GPU, and nothing is read back between log points.
 */
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, type Plan, planRecording, record, type Recording } from "../gpu/recording.ts";
import type { ModelState } from "../nn/model-state.ts";
import { permutation, STREAMS } from "../support/random.ts";
import { persistent, readFloats, slice, type Tensor } from "../tensor/tensor.ts";
import { type Evaluation, Evaluator } from "./evaluate.ts";
import type { EpochPlan, GhostPartition, PartialPolicy } from "./ghosts.ts";
import { chooseSlab } from "./slab-size.ts";
import { hyperparametersAt, type Regime } from "./regime.ts";
import { StepUniform } from "./step-uniform.ts";
import { gatherTraining, measureDistance, type RunningStatisticsOptions, trainingStep } from "./training-step.ts";

export interface TrainOptions {
  readonly regime: Regime;
  /** How each batch of an epoch is cut into ghosts. */
  readonly epoch: EpochPlan;
  readonly partial: PartialPolicy;
  readonly running: RunningStatisticsOptions;
  /** Global norm that the gradient is clipped to; 0 does not clip. */
  readonly clipNorm: number;
  readonly seed: number;
  readonly augment: boolean;
  /** Epochs between evaluations; there is always one after the last step. */
  readonly evaluateEvery: number;
  readonly evaluationBatch: number;
  /** Steps between read-backs of the metrics, at most LOG_ROWS. */
  readonly logEvery: number;
  /** Bytes that the tensors of one step may take; larger batches are cut into slabs. */
  readonly memoryBytes: number;
}

export interface StepMetrics {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** Percent of the batch's samples. */
  readonly accuracy: number;
  readonly accuracyTop5: number;
  readonly gradientNorm: number;
  readonly clipCoefficient: number;
  readonly learningRate: number;
}

export interface Distances {
  readonly step: number;
  /** ‖w − w₀‖ of the first parameter tensor alone, as the paper's code logs it. */
  readonly distanceFirst: number;
  /** ‖w − w₀‖ of all parameters. */
  readonly distanceAll: number;
}

export type TrainEvent =
  | { readonly kind: "metrics"; readonly steps: readonly StepMetrics[]; readonly distances: readonly Distances[] }
  | ({ readonly kind: "evaluation"; readonly step: number; readonly epoch: number } & Evaluation);

/** Rows of the log on the GPU: the most steps between two read-backs. */
export const LOG_ROWS = 1024;
const LOG_FIELDS = 8;

/** Distances are measured this often per decade of steps, enough for a fit on a logarithmic axis (SPEC: 12). */
const DISTANCES_PER_DECADE = 12;
/** Distances between two read-backs; more than any LOG_ROWS steps can ask for, which is 12 per decade and one a read-back. */
const DISTANCE_ROWS = 64;

/** Steps submitted but not finished: enough to hide the submission, few enough to stop quickly. */
const IN_FLIGHT = 8;

export class Trainer {
  readonly gpu: Gpu;
  readonly state: ModelState;
  readonly options: TrainOptions;
  /** What a full step needs. */
  readonly plan: Plan;
  /** Samples in one slab at most. */
  readonly slabSamples: number;
  readonly #data: ResidentDataset;
  readonly #full: Recording;
  readonly #last: Recording;
  readonly #distance: Recording;
  readonly #evaluator: Evaluator;
  readonly #tensors: { order: Tensor; log: Tensor; distance: Tensor; distanceLog: Tensor };
  readonly #step: StepUniform;

  private constructor(fields: {
    gpu: Gpu;
    state: ModelState;
    data: ResidentDataset;
    options: TrainOptions;
    slabSamples: number;
    recordings: { full: Recording; last: Recording; distance: Recording };
    evaluator: Evaluator;
    tensors: { order: Tensor; log: Tensor; distance: Tensor; distanceLog: Tensor };
    step: StepUniform;
  }) {
    this.gpu = fields.gpu;
    this.state = fields.state;
    this.options = fields.options;
    this.slabSamples = fields.slabSamples;
    this.plan = fields.recordings.full.plan;
    this.#data = fields.data;
    this.#full = fields.recordings.full;
    this.#last = fields.recordings.last;
    this.#distance = fields.recordings.distance;
    this.#evaluator = fields.evaluator;
    this.#tensors = fields.tensors;
    this.#step = fields.step;
  }

  /** Records the steps of a run: everything is allocated and compiled when this returns. */
  static async create(gpu: Gpu, state: ModelState, data: ResidentDataset, options: TrainOptions): Promise<Trainer> {
    const { epoch, running, augment, memoryBytes } = options;
    const longest = data.train.count + options.regime.batchSize; // policy "wrap" reads on into the next epoch
    const tensors = {
      order: persistent(gpu, [longest], { dtype: "u32", label: "order" }),
      log: persistent(gpu, [LOG_ROWS, LOG_FIELDS], { label: "log" }),
      distance: persistent(gpu, [2], { label: "distance" }),
      distanceLog: persistent(gpu, [DISTANCE_ROWS, 64], { label: "distance log" }),
    };
    const step = new StepUniform(gpu);
    const stepTensors = { order: tensors.order, log: tensors.log, step: step.tensor };
    const input = gatherTraining(state, data, stepTensors, augment);
    const body = (layout: GhostPartition, maximumSlab: number) => () =>
      trainingStep(state, stepTensors, layout, { maximumSlab, running, input });

    const largest = epoch.full ?? epoch.last;
    const slabSamples = chooseSlab(largest, memoryBytes, (maximumSlab) => planRecording(gpu, body(largest, maximumSlab)).bytes);
    const arena = new Arena(gpu);
    const full = await record(gpu, arena, "training step", body(largest, slabSamples));
    const last = epoch.last === largest ? full : await record(gpu, arena, "last step of an epoch", body(epoch.last, slabSamples));
    const distance = await record(gpu, arena, "distance", () => measureDistance(state, tensors.distance));
    const evaluator = await Evaluator.create(gpu, arena, state, data, { batchSize: options.evaluationBatch });
    const recordings = { full, last, distance };
    return new Trainer({ gpu, state, data, options, slabSamples, recordings, evaluator, tensors, step });
  }

  /** Runs steps `from` to the end of the regime; yields metrics at log points and evaluations. */
  async *run(from = 0): AsyncGenerator<TrainEvent> {
    const { regime, logEvery, evaluateEvery } = this.options;
    const { stepsPerEpoch, totalSteps } = regime;
    let unread = from;
    let distanceSteps: number[] = [];
    let fence: Promise<unknown> = Promise.resolve();
    if (from % stepsPerEpoch !== 0) this.#writeOrder(Math.floor(from / stepsPerEpoch));

    for (let step = from; step < totalSteps; step++) {
      this.#submit(step);
      const done = step + 1;
      const epochsDone = Math.floor(done / stepsPerEpoch);
      const endsRun = done === totalSteps;
      const evaluates = endsRun || (done % stepsPerEpoch === 0 && epochsDone % evaluateEvery === 0);
      const logs = endsRun || evaluates || done - unread >= Math.min(logEvery, LOG_ROWS);
      if (logs || isDistancePoint(done)) {
        this.#measureDistance(distanceSteps.length);
        distanceSteps.push(done);
      }
      if (logs) {
        yield await this.#readMetrics(unread, done, distanceSteps);
        unread = done;
        distanceSteps = [];
      } else if (done % IN_FLIGHT === 0) {
        await fence;
        fence = this.gpu.device.queue.onSubmittedWorkDone();
      }
      if (evaluates) yield { kind: "evaluation", step: done, epoch: done / stepsPerEpoch, ...(await this.#evaluator.run()) };
    }
  }

  evaluate(): Promise<Evaluation> {
    return this.#evaluator.run();
  }

  /** Times every dispatch of one full step. The step trains, so this belongs before or after a run. */
  profile() {
    this.#writeOrder(0);
    this.#writeStep(0);
    return this.#full.profile();
  }

  #submit(step: number): void {
    const { stepsPerEpoch } = this.options.regime;
    if (step % stepsPerEpoch === 0) this.#writeOrder(step / stepsPerEpoch);
    this.#writeStep(step);
    const recording = step % stepsPerEpoch === stepsPerEpoch - 1 ? this.#last : this.#full;
    recording.replay();
  }

  #writeStep(step: number): void {
    const { regime, clipNorm, seed } = this.options;
    const { learningRate, momentum, weightDecay, resetMomentum } = hyperparametersAt(regime, step);
    this.#step.write({
      learningRate,
      momentum: resetMomentum ? 0 : momentum,
      weightDecay,
      clipNorm,
      seed,
      epoch: Math.floor(step / regime.stepsPerEpoch),
      step,
      firstSample: (step % regime.stepsPerEpoch) * regime.batchSize,
    });
  }

  /** The epoch's samples in random order; for the policy "wrap" followed by the first of the next epoch. */
  #writeOrder(epoch: number): void {
    const { seed, partial, regime } = this.options;
    const { count } = this.#data.train;
    const order = new Uint32Array(this.#tensors.order.size);
    order.set(permutation(count, { seed, stream: STREAMS.shuffle, epoch }));
    if (partial === "wrap") {
      const next = permutation(count, { seed, stream: STREAMS.shuffle, epoch: epoch + 1 });
      order.set(next.subarray(0, Math.min(regime.batchSize, count)), count);
    }
    this.gpu.write(this.#tensors.order, order);
  }

  #measureDistance(row: number): void {
    const { distance, distanceLog } = this.#tensors;
    this.#distance.replay();
    this.gpu.copy(distance, slice(distanceLog, row * 64, [2]));
  }

  async #readMetrics(from: number, to: number, distanceSteps: readonly number[]): Promise<TrainEvent> {
    const { log, distanceLog } = this.#tensors;
    const [rows, distanceRows] = await Promise.all([readFloats(log), readFloats(distanceLog)]);
    const { stepsPerEpoch } = this.options.regime;
    const steps: StepMetrics[] = [];
    for (let step = from; step < to; step++) {
      const at = (step % LOG_ROWS) * LOG_FIELDS;
      const [loss, top1, top5, samples, gradientNorm, clipCoefficient, learningRate] = rows.subarray(at, at + LOG_FIELDS) as unknown as number[];
      steps.push({
        step: step + 1,
        epoch: (step + 1) / stepsPerEpoch,
        loss: loss!,
        accuracy: (100 * top1!) / samples!,
        accuracyTop5: (100 * top5!) / samples!,
        gradientNorm: gradientNorm!,
        clipCoefficient: clipCoefficient!,
        learningRate: learningRate!,
      });
    }
    const distances = distanceSteps.map((step, row) => ({
      step,
      distanceFirst: distanceRows[row * 64]!,
      distanceAll: distanceRows[row * 64 + 1]!,
    }));
    return { kind: "metrics", steps, distances };
  }
}

/** Whether a distance belongs to this step: equally spaced on a logarithmic axis. */
function isDistancePoint(step: number): boolean {
  const position = (n: number) => Math.floor(DISTANCES_PER_DECADE * Math.log10(n));
  return step === 1 || position(step) !== position(step - 1);
}
