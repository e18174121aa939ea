/**
 * The training loop. It writes a few numbers per step and replays the recorded step; the data set, the order of the
 * samples and the metrics stay on the GPU, and nothing is read back between log points.
 */
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, type Plan, type Recording, record } from "../gpu/recording.ts";
import { launchCountNonFiniteState } from "../kernels/non-finite.ts";
import type { ModelState } from "../nn/model-state.ts";
import { UsageError } from "../support/errors.ts";
import { persistent, type Tensor } from "../tensor/tensor.ts";
import { type Position, START, StateKeeper } from "./checkpoint.ts";
import { ALONE, type Communicator } from "./communicator.ts";
import { requireEqualParameters } from "./equal-parameters.ts";
import { type Evaluation, Evaluator } from "./evaluate.ts";
import { lossScaleOf } from "./precision.ts";
import { isDistancePoint, isEvaluationPoint, isLogPoint, type Schedule } from "./schedule.ts";
import { shardsOfRank } from "./shards.ts";
import { StatisticsEstimator } from "./statistics-estimator.ts";
import { StepInputs } from "./step-inputs.ts";
import { LOG_ROWS, StepLog } from "./step-log.ts";
import { StepPacer } from "./step-pacer.ts";
import { StepRecordings } from "./step-recordings.ts";
import type { TrainEvent, TrainOptions } from "./train-options.ts";
import { gatherTraining, measureDistance } from "./training-step.ts";

export type { Distances, StepMetrics } from "./step-log.ts";
export { LOG_ROWS } from "./step-log.ts";
export type { TrainEvent, TrainOptions } from "./train-options.ts";

/** What trainers in a sequence share. */
export interface SharedMemory {
  readonly arena: Arena;
  readonly log: StepLog;
}

/** Called after each step and its events; false ends the run. */
export type AfterStep = (position: Position) => boolean | Promise<boolean>;

export class Trainer {
  readonly gpu: Gpu;
  readonly state: ModelState;
  readonly options: TrainOptions;
  /** What a full step needs. */
  readonly plan: Plan;
  /** The most samples in one slab. */
  readonly slabSamples: number;
  /** Copies the state to the CPU and back. */
  readonly keeper: StateKeeper;
  readonly #data: ResidentDataset;
  readonly #communicator: Communicator;
  readonly #steps: StepRecordings;
  readonly #recordings: { distance: Recording; nonFinite: Recording };
  readonly #evaluator: Evaluator;
  readonly #statistics: StatisticsEstimator | null;
  readonly #inputs: StepInputs;
  readonly #distance: Tensor;
  readonly #log: StepLog;
  #metricsAreRequested = false;

  private constructor(fields: {
    gpu: Gpu;
    state: ModelState;
    data: ResidentDataset;
    options: TrainOptions;
    steps: StepRecordings;
    recordings: { distance: Recording; nonFinite: Recording };
    evaluator: Evaluator;
    statistics: StatisticsEstimator | null;
    inputs: StepInputs;
    distance: Tensor;
    log: StepLog;
  }) {
    this.gpu = fields.gpu;
    this.state = fields.state;
    this.options = fields.options;
    this.slabSamples = fields.steps.slabSamples;
    this.plan = fields.steps.plan;
    this.#communicator = fields.options.communicator ?? ALONE;
    this.#steps = fields.steps;
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
   * @param shared memory of another trainer of the same model, which does not run at the same time
   * @throws UsageError if the interval between read-backs exceeds the rows of the log
   */
  static async create(
    gpu: Gpu,
    state: ModelState,
    data: ResidentDataset,
    options: TrainOptions,
    { arena, log }: SharedMemory = { arena: new Arena(gpu), log: new StepLog(gpu) },
  ): Promise<Trainer> {
    const { epoch, augmentation, memoryBytes, logEvery, shards = 1, communicator = ALONE } = options;
    if (logEvery > LOG_ROWS)
      throw new UsageError(
        `log interval ${logEvery}: at most ${LOG_ROWS} steps, because the log on the GPU has that many rows`,
      );
    const range = shardsOfRank(shards, communicator);
    const inputs = new StepInputs(gpu, data, { ...options, range });
    const distance = persistent(gpu, [2], { label: "distance" });
    const stepTensors = { order: inputs.order, log: log.steps, step: inputs.step };
    const input = gatherTraining(state, data, stepTensors, augmentation);
    const { lossScale = state.activations === "f16" ? lossScaleOf(options.regime.batchSize) : 1 } = options;
    const steps = await StepRecordings.create(state, arena, stepTensors, {
      ...options,
      lossScale,
      input,
      communicator,
      range,
    });
    const recordings = {
      distance: await record(gpu, arena, "distance", () => measureDistance(state, distance)),
      nonFinite: await record(gpu, arena, "non-finite state", () =>
        launchCountNonFiniteState({ values: state.values, normState: state.normState, total: log.nonFinite }),
      ),
    };
    const evaluator = await Evaluator.create(gpu, arena, state, data, {
      batchSize: options.evaluationBatch,
      memoryBytes,
      communicator,
      range,
    });
    const batches = options.reestimateStatistics ?? 0;
    const batch = { slabSamples: steps.slabSamples, input };
    const statistics =
      batches > 0
        ? await StatisticsEstimator.create(state, stepTensors, {
            arena,
            epoch,
            batch,
            batches,
            communicator,
            range,
          })
        : null;
    return new Trainer({
      gpu,
      state,
      data,
      options,
      steps,
      recordings,
      evaluator,
      statistics,
      inputs,
      distance,
      log,
    });
  }

  /**
   * Runs the steps from a position, or a number of completed steps, to the end of the regime; yields metrics at log points,
   * and evaluations. Running statistics are estimated anew at the very end, also if the run starts from there: no position
   * comes after that.
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
      if (isLogPoint(schedule, done) || this.#metricsAreRequested) {
        this.#metricsAreRequested = false;
        await requireEqualParameters(this.#communicator, this.state, done);
        this.#countNonFinite();
        yield {
          kind: "metrics",
          ...(await this.#log.read({ from: read, to: done, distanceSteps, stepsPerEpoch })),
        };
        read = done;
        distanceSteps = [];
        pacer.caughtUp();
      } else if (this.#communicator.size === 1) {
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

  /** Makes the next step of `run` a log point, whatever the schedule says. */
  requestMetrics(): void {
    this.#metricsAreRequested = true;
  }

  evaluate(): Promise<Evaluation> {
    return this.#evaluator.run();
  }

  /** Times every dispatch of one full step. The step changes the parameters, so call this before or after a run. */
  async profile() {
    return (await this.prepare(0)).profile();
  }

  /** Time that steps have waited for a streamed data set so far, ms; 0 for a data set in GPU memory. */
  get waitMs(): number {
    return this.#data.train.feed?.waitMs ?? 0;
  }

  /** Stops reading a streamed data set. */
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
    const { isLast } = await this.#inputs.write(step);
    await this.#steps.submit(isLast, this.#inputs.isLast(step + 1));
  }

  /** As `submit`, without the replay; the caller runs the recording. For a step with an exchange, it is the first half. */
  async prepare(step: number): Promise<Recording> {
    const { isLast } = await this.#inputs.write(step);
    return this.#steps.recording(isLast);
  }

  /** The present number of NaN or infinite parameters and running statistics. */
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
