/**
 * The training loop. It writes a few numbers per step and replays the recorded step; the data set, the order of the
 * samples and the metrics stay on the GPU, and nothing is read back between log points.
 */
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, type Plan, planRecording, type Recording, record } from "../gpu/recording.ts";
import { launchCountNonFiniteState } from "../kernels/non-finite.ts";
import type { ModelState } from "../nn/model-state.ts";
import { UsageError } from "../support/errors.ts";
import { persistent, type Tensor } from "../tensor/tensor.ts";
import { type Position, START, StateKeeper } from "./checkpoint.ts";
import { type Evaluation, Evaluator } from "./evaluate.ts";
import type { GhostLayout } from "./ghosts.ts";
import { isDistancePoint, isEvaluationPoint, isLogPoint, type Schedule } from "./schedule.ts";
import { chooseSlab } from "./slab-size.ts";
import { StatisticsEstimator } from "./statistics-estimator.ts";
import { type StepInputOptions, StepInputs } from "./step-inputs.ts";
import { type Distances, LOG_ROWS, StepLog, type StepMetrics } from "./step-log.ts";
import { StepPacer } from "./step-pacer.ts";
import {
  gatherTraining,
  measureDistance,
  type OnNan,
  type RunningStatisticsOptions,
  trainingStep,
} from "./training-step.ts";

export type { Distances, StepMetrics } from "./step-log.ts";
export { LOG_ROWS } from "./step-log.ts";

export interface TrainOptions extends StepInputOptions {
  readonly running: RunningStatisticsOptions;
  readonly augmentation: boolean;
  /** Epochs between evaluations; there is always one after the last step. */
  readonly evaluateEvery: number;
  /** Samples of one evaluation batch at most. */
  readonly evaluationBatch: number;
  /** Steps between read-backs of the metrics, at most LOG_ROWS. */
  readonly logEvery: number;
  /** Bytes that the tensors of one step, or of one evaluation batch, may take; larger batches are cut into slabs. */
  readonly memoryBytes: number;
  /** Samples in one slab at most, in place of the choice by memory: the bits of a run depend on its slabs. */
  readonly slabSamples?: number | undefined;
  /** "skip" leaves out the update of a step whose loss or gradient norm is NaN or infinite. */
  readonly onNan?: OnNan;
  /**
   * Training batches over which running statistics are averaged anew after the last evaluation, for one more; 0, the default,
   * for neither.
   */
  readonly reestimateStatistics?: number;
  /** σ of the factors z_n ~ N(1, σ²) that samples' gradients are multiplied by; 0 for none. */
  readonly gradientNoise?: number;
}

export type TrainEvent =
  | {
      readonly kind: "metrics";
      readonly steps: readonly StepMetrics[];
      readonly distances: readonly Distances[];
      /** How many parameters and running statistics are NaN or infinite after the last of the steps. */
      readonly nonFinite: number;
    }
  | ({ readonly kind: "evaluation"; readonly step: number; readonly epoch: number } & Evaluation)
  /** After the last step, with running statistics estimated anew. */
  | ({ readonly kind: "reestimated"; readonly step: number; readonly epoch: number } & Evaluation);

/** What trainers that take turns need only once. */
export interface SharedMemory {
  readonly arena: Arena;
  readonly log: StepLog;
}

/** Called after each step and its events; false ends the run there. */
export type AfterStep = (position: Position) => boolean | Promise<boolean>;

export class Trainer {
  readonly gpu: Gpu;
  readonly state: ModelState;
  readonly options: TrainOptions;
  /** What a full step needs. */
  readonly plan: Plan;
  /** Samples in one slab at most. */
  readonly slabSamples: number;
  /** Copies the state to the CPU and back. */
  readonly keeper: StateKeeper;
  readonly #data: ResidentDataset;
  readonly #recordings: { full: Recording; last: Recording; distance: Recording; nonFinite: Recording };
  readonly #evaluator: Evaluator;
  readonly #statistics: StatisticsEstimator | null;
  readonly #inputs: StepInputs;
  readonly #distance: Tensor;
  readonly #log: StepLog;

  private constructor(fields: {
    gpu: Gpu;
    state: ModelState;
    data: ResidentDataset;
    options: TrainOptions;
    slabSamples: number;
    recordings: { full: Recording; last: Recording; distance: Recording; nonFinite: Recording };
    evaluator: Evaluator;
    statistics: StatisticsEstimator | null;
    inputs: StepInputs;
    distance: Tensor;
    log: StepLog;
  }) {
    this.gpu = fields.gpu;
    this.state = fields.state;
    this.options = fields.options;
    this.slabSamples = fields.slabSamples;
    this.plan = fields.recordings.full.plan;
    this.keeper = new StateKeeper(fields.state, fields.log);
    this.#data = fields.data;
    this.#recordings = fields.recordings;
    this.#evaluator = fields.evaluator;
    this.#statistics = fields.statistics;
    this.#inputs = fields.inputs;
    this.#distance = fields.distance;
    this.#log = fields.log;
  }

  /**
   * Records the steps of a run: everything is allocated and compiled when this returns.
   * @param shared memory of another trainer of the same model, which does not run while this one does
   * @throws UsageError for more steps between read-backs than the log has rows
   */
  static async create(
    gpu: Gpu,
    state: ModelState,
    data: ResidentDataset,
    options: TrainOptions,
    { arena, log }: SharedMemory = { arena: new Arena(gpu), log: new StepLog(gpu) },
  ): Promise<Trainer> {
    const { epoch, running, augmentation, memoryBytes, onNan, gradientNoise, logEvery } = options;
    if (logEvery > LOG_ROWS)
      throw new UsageError(
        `log interval ${logEvery}: at most ${LOG_ROWS} steps, because the log on the GPU has that many rows`,
      );
    const inputs = new StepInputs(gpu, data, options);
    const distance = persistent(gpu, [2], { label: "distance" });
    const stepTensors = { order: inputs.order, log: log.steps, step: inputs.step };
    const input = gatherTraining(state, data, stepTensors, augmentation);
    const body = (layout: GhostLayout, slabSamples: number) => () =>
      trainingStep(state, stepTensors, layout, { slabSamples, running, input, gradientNoise, onNan });

    const { largest } = epoch;
    const slabSamples =
      options.slabSamples ??
      chooseSlab(largest, memoryBytes, (layout, samples) => planRecording(gpu, body(layout, samples)).bytes);
    const full = await record(gpu, arena, "training step", body(largest, slabSamples));
    const recordings = {
      full,
      last:
        epoch.last === largest
          ? full
          : await record(gpu, arena, "last step of an epoch", body(epoch.last, slabSamples)),
      distance: await record(gpu, arena, "distance", () => measureDistance(state, distance)),
      nonFinite: await record(gpu, arena, "non-finite state", () =>
        launchCountNonFiniteState({ values: state.values, normState: state.normState, total: log.nonFinite }),
      ),
    };
    const evaluator = await Evaluator.create(gpu, arena, state, data, {
      batchSize: options.evaluationBatch,
      memoryBytes,
    });
    const batches = options.reestimateStatistics ?? 0;
    const batch = { slabSamples, input };
    const statistics =
      batches > 0
        ? await StatisticsEstimator.create(state, stepTensors, { arena, epoch, batch, batches })
        : null;
    return new Trainer({
      gpu,
      state,
      data,
      options,
      slabSamples,
      recordings,
      evaluator,
      statistics,
      inputs,
      distance,
      log,
    });
  }

  /**
   * Runs the steps from a position, or a number of steps done, to the end of the regime; yields metrics at log points
   * and evaluations. Running statistics are estimated anew after everything else, from the end of the regime too: no
   * position is behind that.
   */
  async *run(from: Position | number = START, afterStep: AfterStep = () => true): AsyncGenerator<TrainEvent> {
    const start = typeof from === "number" ? { step: from, read: from, distanceSteps: [] } : from;
    const { totalSteps, stepsPerEpoch } = this.options.regime;
    const schedule = this.#schedule();
    const pacer = new StepPacer(this.gpu);
    let { read } = start;
    let distanceSteps = [...start.distanceSteps];
    this.beginAt(start.step);

    for (let step = start.step; step < totalSteps; step++) {
      await this.submit(step);
      const done = step + 1;
      if (isDistancePoint(schedule, done)) {
        this.#recordings.distance.replay();
        this.gpu.copy(this.#distance, this.#log.distances(distanceSteps.length));
        distanceSteps.push(done);
      }
      if (isLogPoint(schedule, done)) {
        this.#countNonFinite();
        yield {
          kind: "metrics",
          ...(await this.#log.read({ from: read, to: done, distanceSteps, stepsPerEpoch })),
        };
        read = done;
        distanceSteps = [];
        pacer.caughtUp();
      } else {
        await pacer.stepSubmitted();
      }
      if (isEvaluationPoint(schedule, done)) {
        yield {
          kind: "evaluation",
          step: done,
          epoch: done / stepsPerEpoch,
          ...(await this.#evaluator.run()),
        };
      }
      if (!(await afterStep({ step: done, read, distanceSteps: [...distanceSteps] }))) return;
    }
    if (this.#statistics === null) return;
    await this.#statistics.reestimate(this.#inputs, totalSteps);
    yield {
      kind: "reestimated",
      step: totalSteps,
      epoch: totalSteps / stepsPerEpoch,
      ...(await this.#evaluator.run()),
    };
  }

  evaluate(): Promise<Evaluation> {
    return this.#evaluator.run();
  }

  /** Times every dispatch of one full step. The step trains, so this belongs before or after a run. */
  async profile() {
    return (await this.prepare(0)).profile();
  }

  /** Milliseconds that steps have waited for a streamed data set so far; 0 for one in GPU memory. */
  get waitMs(): number {
    return this.#data.train.feed?.waitMs ?? 0;
  }

  /** Stops what reads a streamed data set. */
  close(): void {
    this.#data.train.feed?.close();
    this.#data.test.feed?.close();
  }

  /** Prepares for `submit(step)` and the steps after it. */
  beginAt(step: number): void {
    this.#inputs.beginAt(step);
  }

  /** Submits one step, counted from 0; in order, and after `beginAt` for the first. */
  async submit(step: number): Promise<void> {
    (await this.prepare(step)).replay();
  }

  /** As `submit`, but for the replay: the recording is the caller's to run. */
  async prepare(step: number): Promise<Recording> {
    const { isLast } = await this.#inputs.write(step);
    return isLast ? this.#recordings.last : this.#recordings.full;
  }

  /** How many parameters and running statistics are NaN or infinite now. */
  async countNonFinite(): Promise<number> {
    this.#countNonFinite();
    const { stepsPerEpoch } = this.options.regime;
    return (await this.#log.read({ from: 0, to: 0, distanceSteps: [], stepsPerEpoch })).nonFinite;
  }

  #countNonFinite(): void {
    this.gpu.write(this.#log.nonFinite, new Uint32Array(1));
    this.#recordings.nonFinite.replay();
  }

  #schedule(): Schedule {
    const { regime, evaluateEvery, logEvery } = this.options;
    const { stepsPerEpoch, totalSteps } = regime;
    return { stepsPerEpoch, totalSteps, evaluateEvery, logEvery };
  }
}
