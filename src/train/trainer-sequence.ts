/**
 * Trainers that train one model in sequence, e.g. as a batch grows. Steps and epochs are counted across them, so
 * positions are those of one run; when to measure, log and evaluate restarts in each. A run of one batch size is a
 * sequence of one.
 */
import type { ResidentDataset } from "../data/resident.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Arena, type Recording } from "../gpu/recording.ts";
import type { ModelState } from "../nn/model-state.ts";
import { type Position, START, type StateKeeper } from "./checkpoint.ts";
import { samplesOfSteps } from "./ghosts.ts";
import { StepLog } from "./step-log.ts";
import { type AfterStep, type TrainEvent, Trainer, type TrainOptions } from "./trainer.ts";

interface Stage {
  readonly trainer: Trainer;
  /** Completed steps when it begins. */
  readonly firstStep: number;
  /** Completed steps when it ends. */
  readonly lastStep: number;
  /** Completed epochs when it begins. Epochs of different stages may have different numbers of steps. */
  readonly firstEpoch: number;
}

export class TrainerSequence {
  readonly gpu: Gpu;
  readonly state: ModelState;
  readonly totalSteps: number;
  /** Copies the state to the CPU and back, whichever trainer is active. */
  readonly keeper: StateKeeper;
  /** In order. */
  readonly trainers: readonly Trainer[];
  readonly #stages: readonly Stage[];

  private constructor(gpu: Gpu, state: ModelState, trainers: readonly Trainer[]) {
    this.gpu = gpu;
    this.state = state;
    this.trainers = trainers;
    this.keeper = trainers[0]!.keeper;
    let [firstStep, firstEpoch] = [0, 0];
    this.#stages = trainers.map((trainer) => {
      const { totalSteps, totalEpochs } = trainer.options.regime;
      const stage = { trainer, firstStep, lastStep: firstStep + totalSteps, firstEpoch };
      firstStep += totalSteps;
      firstEpoch += totalEpochs;
      return stage;
    });
    this.totalSteps = firstStep;
  }

  /**
   * Records the steps of all stages: everything is allocated and compiled when this returns.
   * @param options one for each stage, in order
   * @throws CapacityError if even one ghost at a time does not fit the allowed memory or the adapter
   */
  static async create(
    gpu: Gpu,
    state: ModelState,
    data: ResidentDataset,
    options: readonly TrainOptions[],
  ): Promise<TrainerSequence> {
    const shared = { arena: new Arena(gpu), log: new StepLog(gpu) };
    let epochsBefore = 0;
    const stages = options.map((stage, index) => {
      const numbered = { index, options: { ...stage, epochsBefore } };
      epochsBefore += Math.ceil(stage.regime.totalEpochs);
      return numbered;
    });
    const trainers = new Array<Trainer>(stages.length);
    // The largest batch first: the others fit into its memory.
    for (const stage of stages.sort((a, b) => b.options.regime.batchSize - a.options.regime.batchSize)) {
      trainers[stage.index] = await Trainer.create(gpu, state, data, stage.options, shared);
    }
    return new TrainerSequence(gpu, state, trainers);
  }

  /** As `Trainer.run`: from a position to the end of the last stage. */
  async *run(from: Position, afterStep: AfterStep): AsyncGenerator<TrainEvent> {
    let goesOn = true;
    for (const stage of this.#stages) {
      const { trainer, firstStep, lastStep, firstEpoch } = stage;
      // The last stage may have work to do after its last step.
      if (from.step >= lastStep && stage !== this.#stages.at(-1)) continue;
      const start = from.step > firstStep ? positionPlus(from, -firstStep) : START;
      const afterOwnStep = async (position: Position) => {
        goesOn = await afterStep(positionPlus(position, firstStep));
        return goesOn;
      };
      for await (const event of trainer.run(start, afterOwnStep))
        yield eventPlus(event, firstStep, firstEpoch);
      if (!goesOn) return;
    }
  }

  /** Prepares for `submit(step)` and the steps after it. */
  beginAt(step: number): void {
    const { trainer, firstStep } = this.#stageOf(step);
    trainer.beginAt(step - firstStep);
  }

  /** Submits one step, counted from 0; in order, and after `beginAt` for the first. */
  submit(step: number): Promise<void> {
    const { trainer, firstStep } = this.#stageOf(step);
    return trainer.submit(step - firstStep);
  }

  /** As `submit`, without the replay; the caller runs the recording. */
  prepare(step: number): Promise<Recording> {
    const { trainer, firstStep } = this.#stageOf(step);
    return trainer.prepare(step - firstStep);
  }

  /** The present number of NaN or infinite parameters and running statistics. */
  countNonFinite(): Promise<number> {
    return this.trainers[0]!.countNonFinite();
  }

  /** Training samples in the first `steps` steps. */
  samplesAt(steps: number): number {
    return this.#sum(({ trainer, firstStep, lastStep }) => {
      const own = Math.min(Math.max(steps, firstStep), lastStep) - firstStep;
      return samplesOfSteps(trainer.options.epoch, own);
    });
  }

  /** Floating-point operations of all training steps. */
  get flops(): number {
    return this.#sum(({ trainer: { plan, options } }) => {
      const { regime, epoch } = options;
      const samples = samplesOfSteps(epoch, regime.totalSteps);
      return (plan.cost.flops * samples) / epoch.largest.total;
    });
  }

  /** Time that steps have waited for a streamed data set so far, ms; 0 for a data set in GPU memory. */
  get waitMs(): number {
    return this.trainers[0]!.waitMs;
  }

  /** Stops reading a streamed data set. */
  close(): void {
    this.trainers[0]!.close();
  }

  /** The stage of a step, counted from 0. The end of the run belongs to the last stage. */
  #stageOf(step: number): Stage {
    return this.#stages.find(({ lastStep }) => step < lastStep) ?? this.#stages.at(-1)!;
  }

  #sum(of: (stage: Stage) => number): number {
    return this.#stages.reduce((sum, stage) => sum + of(stage), 0);
  }
}

function positionPlus({ step, read, distanceSteps }: Position, steps: number): Position {
  return { step: step + steps, read: read + steps, distanceSteps: distanceSteps.map((at) => at + steps) };
}

function eventPlus(event: TrainEvent, steps: number, epochs: number): TrainEvent {
  const later = <At extends { step: number; epoch: number }>(at: At) => {
    return { ...at, step: at.step + steps, epoch: at.epoch + epochs };
  };
  if (event.kind !== "metrics") return later(event);
  const distances = event.distances.map((distance) => ({ ...distance, step: distance.step + steps }));
  return { ...event, steps: event.steps.map(later), distances };
}
