/** The recorded steps of a run: one list of dispatches, or two halves with an exchange between the ranks in the middle. */
import type { Gpu } from "../gpu/gpu.ts";
import { type Arena, type Plan, planRecording, type Recording, record } from "../gpu/recording.ts";
import { SHARD_ROW } from "../kernels/shards.ts";
import type { ModelState } from "../nn/model-state.ts";
import { persistent } from "../tensor/tensor.ts";
import { BatchExchange } from "./batch-exchange.ts";
import type { Communicator } from "./communicator.ts";
import type { EpochPlan, GhostLayout } from "./ghosts.ts";
import { largestShard, type ShardRange, shardedStep, shardsGradient, shardsUpdate } from "./shards.ts";
import { chooseSlab } from "./slab-size.ts";
import { type BatchOptions, type StepTensors, trainingStep, type UpdateOptions } from "./training-step.ts";

/** Messages between ranks at every step, e.g. that one was asked to stop; 0 for none. */
export interface Votes {
  cast(): number;
  /** Receives the votes of all ranks, the same on each. */
  counted(votes: Uint32Array): void;
}

export type StepOptions = Omit<BatchOptions, "slabSamples"> &
  UpdateOptions & {
    readonly epoch: EpochPlan;
    readonly memoryBytes: number;
    /** Replaces the choice by memory. */
    readonly slabSamples?: number | undefined;
    readonly communicator: Communicator;
    readonly range: ShardRange;
    readonly votes?: Votes | undefined;
  };

interface SharedStep {
  readonly gradient: Recording;
  readonly update: Recording;
  readonly exchange: BatchExchange;
}

export class StepRecordings {
  readonly slabSamples: number;
  /** What a full step of the whole batch needs; the number of dispatches is this process's. */
  readonly plan: Plan;
  readonly #full: Recording | SharedStep;
  readonly #last: Recording | SharedStep;
  readonly #votes: Votes | undefined;
  /** A first half of a step that has been encoded in advance, and which. */
  #ahead: { readonly recording: Recording; readonly submit: () => void } | null = null;

  private constructor(fields: {
    slabSamples: number;
    plan: Plan;
    full: Recording | SharedStep;
    last: Recording | SharedStep;
    votes: Votes | undefined;
  }) {
    this.slabSamples = fields.slabSamples;
    this.plan = fields.plan;
    this.#full = fields.full;
    this.#last = fields.last;
    this.#votes = fields.votes;
  }

  static async create(
    state: ModelState,
    arena: Arena,
    tensors: Omit<StepTensors, "order">,
    options: StepOptions,
  ): Promise<StepRecordings> {
    const { gpu } = state;
    const { epoch, range, communicator, votes } = options;
    const slabSamples = options.slabSamples ?? chooseShardSlab(state, tensors, options);
    const metrics = persistent(gpu, [range.count, SHARD_ROW], { label: "metrics of shards" });
    const all = { ...tensors, metrics };
    const whole = (layout: GhostLayout) => () =>
      shardedStep(state, all, layout, { ...options, slabSamples, count: range.count });
    const recorded = async (layout: GhostLayout, label: string): Promise<Recording | SharedStep> => {
      if (communicator.size === 1) return record(gpu, arena, label, whole(layout));
      let sum = state.gradients;
      const gradient = await record(gpu, arena, label, () => {
        sum = shardsGradient(state, all, layout, { ...options, slabSamples });
        return sum;
      });
      const exchange = new BatchExchange(state, layout, { communicator, range, metrics, gradient: sum });
      const update = await record(gpu, arena, `${label}, update`, () =>
        shardsUpdate(state, { ...all, gradient: state.gradients }, layout, options),
      );
      return { gradient, update, exchange };
    };
    const full = await recorded(epoch.largest, "training step");
    const last = epoch.last === epoch.largest ? full : await recorded(epoch.last, "last step of an epoch");
    const plan = planOf(gpu, full, whole(epoch.largest));
    return new StepRecordings({ slabSamples, plan, full, last, votes });
  }

  /** The step, or its first half: forward and backward of this rank's shards. */
  recording(isLast: boolean): Recording {
    const step = this.#step(isLast);
    return "exchange" in step ? step.gradient : step;
  }

  /**
   * Submits a step whose inputs have been written. A step in two halves waits for the other ranks.
   * @param isLast whether it is the last of its epoch
   * @param nextIsLast the same for the next step, which is encoded in the meantime
   */
  async submit(isLast: boolean, nextIsLast: boolean): Promise<void> {
    const step = this.#step(isLast);
    if (!("exchange" in step)) {
      step.replay();
      return;
    }
    if (this.#ahead?.recording === step.gradient) this.#ahead.submit();
    else step.gradient.replay();
    this.#ahead = null;
    let update = () => step.update.replay();
    const votes = await step.exchange.run(this.#votes?.cast() ?? 0, () => {
      update = step.update.encode();
      const recording = this.recording(nextIsLast);
      this.#ahead = { recording, submit: recording.encode() };
    });
    update();
    this.#votes?.counted(votes);
  }

  #step(isLast: boolean): Recording | SharedStep {
    return isLast ? this.#last : this.#full;
  }
}

/** The plan of two halves: cost of the whole batch, dispatches of this process. */
function planOf(gpu: Gpu, step: Recording | SharedStep, whole: () => void): Plan {
  if (!("exchange" in step)) return step.plan;
  const { gradient, update } = step;
  return {
    ...planRecording(gpu, whole),
    dispatches: gradient.plan.dispatches + update.plan.dispatches,
    bytes: gradient.plan.bytes,
    slots: gradient.plan.slots,
  };
}

/** Depends on the shards, not on the ranks, because the bits of a run depend on its slabs. */
function chooseShardSlab(
  state: ModelState,
  tensors: Omit<StepTensors, "order">,
  { epoch, range, memoryBytes, ...options }: StepOptions,
): number {
  return slabOfEpoch(
    epoch,
    range.count,
    memoryBytes,
    (layout, slabSamples) =>
      planRecording(state.gpu, () => trainingStep(state, tensors, layout, { ...options, slabSamples })).bytes,
  );
}

/**
 * The most samples per slab, as `chooseSlab`, for a sharded batch.
 * @param bytesOf of a training step of a layout, or of a shard of it
 */
export function slabOfEpoch(
  { largest, last }: EpochPlan,
  shards: number,
  memoryBytes: number,
  bytesOf: (layout: GhostLayout, slabSamples: number) => number,
): number {
  const slabSamples = chooseSlab(
    shards === 1 ? largest : largestShard(largest, shards),
    memoryBytes,
    bytesOf,
  );
  // A remainder may have joined the last ghost of a partial batch.
  return Math.max(slabSamples, last.ghostSize, last.last);
}
