/** Puts the model, data and recorded steps of a run on the GPU for as long as they are needed. */
import { placeDataset } from "../data/feed.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { Tuning } from "../gpu/tuning.ts";
import { materialize } from "../nn/model-state.ts";
import { activationType } from "../train/precision.ts";
import { shardsOfRank, shareOf } from "../train/shards.ts";
import { TrainerSequence } from "../train/trainer-sequence.ts";
import { batchStages } from "./growing-batch.ts";
import { factsOf } from "./plan-run.ts";
import type { PreparedRun } from "./prepare.ts";
import { factsOfRank, requireAgreement } from "./rank-agreement.ts";
import type { Ranks } from "./ranks.ts";
import type { RunCheckpoint } from "./run-checkpoint.ts";
import { dataOptions, trainerOptions } from "./trainer-options.ts";

interface TrainerChoices {
  readonly logEvery: number | undefined;
  readonly ranks: Ranks;
}

/**
 * Calls `body` with the trainers of a run, in the state of the checkpoint if there is one.
 * @throws UsageError if the ranks of the run differ in something that decides its bits
 */
export async function withTrainers<T>(
  gpu: Gpu,
  prepared: PreparedRun,
  from: RunCheckpoint | null,
  options: TrainerChoices,
  body: (sequence: TrainerSequence) => Promise<T>,
): Promise<T> {
  const { variant, tuning } = gpu;
  useChoicesOf(from, gpu);
  try {
    const sequence = await createTrainers(gpu, prepared, options, from?.content.slabSamples);
    try {
      await requireAgreement(options.ranks.communicator, factsOfRank(gpu, prepared, sequence));
      if (from) sequence.keeper.restore(from.tensors, from.path);
      return await body(sequence);
    } finally {
      sequence.close();
    }
  } finally {
    gpu.variant = variant;
    gpu.tuning = tuning;
  }
}

/**
 * On the same adapter, a run continues with the kernel variants and tiles with which it started, whatever has been chosen since:
 * others add in a different order, and a resumed run must give the same bits.
 */
function useChoicesOf(from: RunCheckpoint | null, gpu: Gpu): void {
  const before = from?.content.adapter;
  gpu.tuning = gpu.tuning.unasked();
  if (!before || before.name !== gpu.adapter.name) return;
  gpu.variant = before.variant ?? gpu.variant;
  // A checkpoint without a record of them was written by a version that used the defaults.
  gpu.tuning = new Tuning(before.tuning, { wanted: gpu.tuning.wanted });
}

async function createTrainers(
  gpu: Gpu,
  prepared: PreparedRun,
  { logEvery, ranks }: TrainerChoices,
  slabSamples: readonly number[] | undefined,
): Promise<TrainerSequence> {
  const { spec, dataset, model } = prepared;
  const stages = batchStages(prepared, factsOf(dataset));
  const epochs = stages.map(({ epoch }) => epoch);
  const maximumGhosts = Math.max(...epochs.map((epoch) => epoch.maximumGhosts));
  const state = materialize(gpu, model, {
    seed: spec.seed,
    maximumGhosts,
    activations: activationType(spec.precision),
  });
  const range = shardsOfRank(spec.shards, ranks.communicator);
  const own = epochs.flatMap(({ largest, last }) =>
    [largest, last].map((layout) => shareOf(layout, range).samples),
  );
  const data = await placeDataset(gpu, dataset, dataOptions(prepared, own));
  const options = stages.map((stage, i) => {
    const isLast = i === stages.length - 1;
    return {
      ...trainerOptions(stage, logEvery),
      ...ranks,
      slabSamples: slabSamples?.[i],
      reestimateStatistics: isLast ? spec.reestimateStatistics : 0,
    };
  });
  return TrainerSequence.create(gpu, state, data, options);
}
