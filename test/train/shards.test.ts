// A batch in shards: the same bits whatever number of ranks they are spread over. (test/host/node/mpi.test.ts: over MPI.)
import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import type { Communicator } from "../../src/train/communicator.ts";
import { requireEqualParameters } from "../../src/train/equal-parameters.ts";
import { partitionBatch } from "../../src/train/ghosts.ts";
import { cutIntoShards, shardsOfRank } from "../../src/train/shards.ts";
import { type TrainEvent, Trainer, type TrainOptions } from "../../src/train/trainer.ts";
import { localRanks } from "../support/local-ranks.ts";
import { type SmallRunOptions, smallRun } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const SHARDS = 4;

/** What a run leaves: everything that a checkpoint would hold, and everything that it says. */
interface Outcome {
  readonly values: Float32Array;
  readonly velocity: Float32Array;
  readonly runningMean: Float32Array;
  readonly runningVariance: Float32Array;
  readonly events: readonly TrainEvent[];
}

async function trainRank(small: SmallRunOptions, options: Partial<TrainOptions>): Promise<Outcome> {
  const run = smallRun(gpu, small);
  const trainer = await Trainer.create(gpu, run.state, run.data, { ...run.options, ...options });
  const events: TrainEvent[] = [];
  for await (const event of trainer.run()) events.push(event);
  const { values, velocity, normState } = run.state;
  return {
    values: await readFloats(values),
    velocity: await readFloats(velocity),
    runningMean: await readFloats(normState!.runningMean),
    runningVariance: await readFloats(normState!.runningVariance),
    events,
  };
}

function trainRanks(
  ranks: number,
  small: SmallRunOptions,
  options: Partial<TrainOptions>,
): Promise<Outcome[]> {
  const all = localRanks(ranks).map((communicator) =>
    trainRank(small, { ...options, shards: SHARDS, communicator }),
  );
  return Promise.all(all);
}

// 150 samples in batches of 64: the last has 22 of them, a ghost of 16 and one of 6 that joins it.
const PARTIAL = { batchSize: 64, ghostSize: 8, maxSteps: 7 } as const;

describe("1, 2 and 4 ranks leave the same bits", () => {
  test.each([
    ["sequential", { partial: "authors" }, {}],
    ["mean", { ghostSize: 16 }, { reestimateStatistics: 4, gradientNoise: 0.5 }], // the last batch has one ghost: three shards are empty
    ["full", { partial: "wrap" }, { augmentation: false }],
    ["composer", { partial: "drop" }, { onNan: "skip" }],
    ["paper-literal", {}, { slabSamples: 14 }], // each shard of a full batch in two slabs
  ] as const)("running rule %s, %o, %o", async (rule, small, options) => {
    const run = { ...PARTIAL, ...small };
    const train = { running: { rule, momentum: 0.1 }, ...options };
    const [alone] = await trainRanks(1, run, train);
    for (const ranks of [2, 4]) {
      for (const outcome of await trainRanks(ranks, run, train)) expect(outcome).toEqual(alone);
    }
  });
});

test("shards change the rounding of a run, and nothing else", async () => {
  const whole = await trainRank(PARTIAL, {});
  const [cut] = await trainRanks(1, PARTIAL, {});
  expect(cut!.values).not.toEqual(whole.values);
  const difference = Math.hypot(...cut!.values.map((value, i) => value - whole.values[i]!));
  expect(difference / Math.hypot(...whole.values)).toBeLessThan(1e-4);
  expect(cut!.events.map(({ kind }) => kind)).toEqual(whole.events.map(({ kind }) => kind));
  const last = (outcome: Outcome) => outcome.events.findLast(({ kind }) => kind === "evaluation");
  expect(last(cut!)).toMatchObject({ samples: 37 });
});

test("the votes of all ranks reach every one after the same step", async () => {
  const counted: number[][][] = [[], []];
  const [a, b] = localRanks(2);
  const rank = (communicator: Communicator, cast: (step: number) => number) => {
    const steps = counted[communicator.rank]!;
    const votes = {
      cast: () => cast(steps.length),
      counted: (all: Uint32Array) => void steps.push([...all]),
    };
    return trainRank({ ...PARTIAL, maxSteps: 3 }, { shards: 2, communicator, votes });
  };
  await Promise.all([rank(a!, () => 0), rank(b!, (step) => (step === 1 ? 0xdeadbeef : 0))]);
  expect(counted).toEqual([
    [
      [0, 0],
      [0, 0xdeadbeef],
      [0, 0],
    ],
    [
      [0, 0],
      [0, 0xdeadbeef],
      [0, 0],
    ],
  ]);
});

test("parameters that differ in one bit are found, and the rank is named", async () => {
  const states = [0, 1].map(() => smallRun(gpu).state);
  const bits = new Uint32Array((await readFloats(states[1]!.values)).buffer);
  bits[bits.length >> 1]! ^= 1;
  gpu.write(states[1]!.values, bits);
  for (const communicator of localRanks(2).map((one, rank) => requireEqualParameters(one, states[rank]!, 5)))
    await expect(communicator).rejects.toThrow(/after step 5: the parameters of rank 1 \(here\) differ/);
});

test("shards are whole ghosts, in order, as even as can be, and all of the batch", () => {
  for (const samples of [8, 22, 64, 100]) {
    const layout = partitionBatch({ samples, batchSize: 100, ghostSize: 8, policy: "exact" });
    for (const count of [1, 2, 4, 8]) {
      const shards = cutIntoShards(layout, count).map((shard) => shard ?? { ghosts: 0, total: 0 });
      const ghosts = shards.map((shard) => shard.ghosts);
      expect(Math.max(...ghosts) - Math.min(...ghosts)).toBeLessThanOrEqual(1);
      expect(shards.reduce((sum, { total }) => sum + total, 0)).toBe(samples);
    }
  }
  expect(() => shardsOfRank(4, { rank: 0, size: 3 })).toThrow(/--shards 4: 3 ranks cannot share them evenly/);
});
