/**
 * Sharded batches: P groups of whole ghosts, each with a gradient that starts from zero. The gradients are added in a fixed
 * binary tree, so a run has the same bits on any number of ranks.
 */
import { launchAdd } from "../kernels/elementwise.ts";
import { launchCopy, launchShardMetrics, launchZero, SHARD_ROW } from "../kernels/shards.ts";
import type { ModelState } from "../nn/model-state.ts";
import { UsageError } from "../support/errors.ts";
import { empty, slice, type Tensor } from "../tensor/tensor.ts";
import type { Communicator } from "./communicator.ts";
import { type GhostLayout, ghostsFrom, type Slab } from "./ghosts.ts";
import {
  type BatchOptions,
  batchGradient,
  type StepTensors,
  trainingStep,
  type UpdateOptions,
  updateStep,
} from "./training-step.ts";

/** The tensors of a sharded step. Each shard has a row of `metrics` [P, SHARD_ROW]. */
export type ShardTensors = Omit<StepTensors, "order"> & { readonly metrics: Tensor };

/** Consecutive shards of a batch. */
export interface ShardRange {
  /** P: number of shards in the batch. */
  readonly count: number;
  /** Index of the first of these shards. */
  readonly first: number;
  /** Number of these shards, a power of two. */
  readonly own: number;
}

/** A batch in one shard, all in this process. */
export const WHOLE: ShardRange = { count: 1, first: 0, own: 1 };

/** The shards of one rank. @throws UsageError if the ranks cannot share them evenly */
export function shardsOfRank(count: number, { rank, size }: Pick<Communicator, "rank" | "size">): ShardRange {
  if (count % size !== 0) {
    throw new UsageError(
      `--shards ${count}: ${size} ranks cannot share them evenly; start a number of ranks that divides ${count}`,
    );
  }
  const own = count / size;
  return { count, first: rank * own, own };
}

/** A batch as P shards with about the same number of ghosts, in order; null for a shard without ghosts, if there are fewer than P. */
export function cutIntoShards(layout: GhostLayout, count: number): (Slab | null)[] {
  const start = (shard: number) => Math.floor((shard * layout.ghosts) / count);
  return Array.from({ length: count }, (_, shard) => {
    const [first, end] = [start(shard), start(shard + 1)];
    return end === first ? null : ghostsFrom(layout, first, end);
  });
}

/** The largest shard of a batch. The choice of slabs depends on it, and so does not depend on the number of ranks. */
export function largestShard(layout: GhostLayout, count: number): Slab {
  const shards = cutIntoShards(layout, count).filter((shard) => shard !== null);
  return shards.reduce((a, b) => (b.total > a.total ? b : a));
}

/** The ghosts and samples in some consecutive shards of a batch. */
export interface BatchShare {
  readonly firstGhost: number;
  readonly ghosts: number;
  readonly firstSample: number;
  readonly samples: number;
}

/** The part of a batch in shards [first, first + own). */
export function shareOf(layout: GhostLayout, { count, first, own }: ShardRange): BatchShare {
  const held = cutIntoShards(layout, count)
    .slice(first, first + own)
    .filter((shard) => shard !== null);
  const sum = (of: (shard: Slab) => number) => held.reduce((total, shard) => total + of(shard), 0);
  return {
    firstGhost: held[0]?.firstGhost ?? 0,
    ghosts: sum(({ ghosts }) => ghosts),
    firstSample: held[0]?.firstSample ?? 0,
    samples: sum(({ total }) => total),
  };
}

/**
 * Forward and backward of consecutive shards:
 *
 *   ĝ = Σ_p ĝ_p   in a binary tree: ((ĝ₀ + ĝ₁) + (ĝ₂ + ĝ₃)) + …
 *
 * A shard without ghosts adds zeros.
 *
 * @param metrics [P, SHARD_ROW]: the rows of these shards are written
 * @returns [size], the sum: the flat gradients themselves if there is one shard
 */
export function shardsGradient(
  state: ModelState,
  { step, metrics }: { step: Tensor; metrics: Tensor },
  layout: GhostLayout,
  { range, ...batch }: BatchOptions & { range: ShardRange },
): Tensor {
  const { first, own } = range;
  const shards = cutIntoShards(layout, range.count);
  const sums: { readonly shards: number; readonly gradient: Tensor }[] = [];
  for (let shard = first; shard < first + own; shard++) {
    const log = slice(metrics, shard * SHARD_ROW, [1, 8]);
    const slab = shards[shard]!;
    if (slab) batchGradient(state, { step, log }, slab, batch);
    else {
      launchZero({ y: state.gradients });
      launchZero({ y: log });
    }
    let sum: (typeof sums)[number] = { shards: 1, gradient: state.gradients };
    while (sums.at(-1)?.shards === sum.shards) {
      const y = empty(state.gpu, state.gradients.shape, "f32", "sum of shards");
      launchAdd({ a: sums.pop()!.gradient, b: sum.gradient, y });
      sum = { shards: 2 * sum.shards, gradient: y };
    }
    if (sum.gradient === state.gradients && own > 1) {
      // The next shard overwrites the flat gradients.
      const y = empty(state.gpu, state.gradients.shape, "f32", "gradient of a shard");
      launchCopy({ x: state.gradients, y });
      sum = { shards: 1, gradient: y };
    }
    sums.push(sum);
  }
  return sums[0]!.gradient;
}

/** A training step with `count` shards, all in this process; with one shard it is `trainingStep`. */
export function shardedStep(
  state: ModelState,
  tensors: ShardTensors,
  layout: GhostLayout,
  { count, ...options }: BatchOptions & UpdateOptions & { readonly count: number },
): void {
  if (count === 1) {
    trainingStep(state, tensors, layout, options);
    return;
  }
  const gradient = shardsGradient(state, tensors, layout, {
    ...options,
    range: { count, first: 0, own: count },
  });
  shardsUpdate(state, { ...tensors, gradient }, layout, options);
}

/** The second half of a sharded step, after the metrics of all shards and the sum of their gradients have arrived. */
export function shardsUpdate(
  state: ModelState,
  { metrics, ...tensors }: ShardTensors & { readonly gradient: Tensor },
  layout: GhostLayout,
  options: UpdateOptions,
): void {
  launchShardMetrics({ shards: metrics, log: tensors.log, step: tensors.step });
  updateStep(state, tensors, layout, options);
}
