// A batch in shards: the same bits on any number of ranks. (Over MPI: test/host/node/mpi.test.ts.)
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { placeDataset } from "../../src/data/feed.ts";
import type { StreamedSplit } from "../../src/data/streamed.ts";
import { openImagenet } from "../../src/datasets/imagenet.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { F1 } from "../../src/models/f1.ts";
import { materialize } from "../../src/nn/model-state.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import type { Communicator } from "../../src/train/communicator.ts";
import { requireEqualParameters } from "../../src/train/equal-parameters.ts";
import { partitionBatch } from "../../src/train/ghosts.ts";
import { cutIntoShards, shardsOfRank } from "../../src/train/shards.ts";
import { type TrainEvent, Trainer, type TrainOptions } from "../../src/train/trainer.ts";
import { pngBytes, writeFiles } from "../support/image-files.ts";
import { localRanks } from "../support/local-ranks.ts";
import { type SmallRunOptions, smallRun } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const SHARDS = 4;

/** The result of a run: everything that a checkpoint would hold, and all events. */
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

// 150 samples in batches of 64: the last batch has 22.
const PARTIAL = { batchSize: 64, ghostSize: 8, maxSteps: 7 } as const;

describe("1, 2 and 4 ranks give the same bits", () => {
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

test("shards change only the rounding of a run", async () => {
  const whole = await trainRank(PARTIAL, {});
  const [cut] = await trainRanks(1, PARTIAL, {});
  expect(cut!.values).not.toEqual(whole.values);
  const difference = Math.hypot(...cut!.values.map((value, i) => value - whole.values[i]!));
  expect(difference / Math.hypot(...whole.values)).toBeLessThan(1e-4);
  expect(cut!.events.map(({ kind }) => kind)).toEqual(whole.events.map(({ kind }) => kind));
  const last = (outcome: Outcome) => outcome.events.findLast(({ kind }) => kind === "evaluation");
  expect(last(cut!)).toMatchObject({ samples: 37 });
});

test("each rank reads only its own streamed images, also for evaluation, with the same bits", async () => {
  const root = mkdtempSync(join(tmpdir(), "ghostbatch-shards-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const side = 8;
  const image = (n: number) => pngBytes(side, side, (x, y) => [(37 * x * (n + 1)) % 256, 31 * y, 23 * n]);
  const files = Array.from({ length: 15 }, (_, n) => [
    `${n < 11 ? "train" : "val"}/n${n % 3}/${n}.JPEG`,
    image(n),
  ]);
  writeFiles(root, Object.fromEntries(files));
  const streamed = openImagenet(root, { resize: side, crop: side });

  /** Trains epochs of two batches, of 6 and 5 images. @returns the rank's result, and the images that it has read */
  const train = async (communicator: Communicator) => {
    const read = { train: [] as number[], test: [] as number[] };
    const watched = (part: "train" | "test"): StreamedSplit => ({
      ...streamed[part],
      open: async (options) => {
        const source = await streamed[part].open(options);
        const next = (epoch: number, samples: Uint32Array) => {
          read[part].push(...samples);
          return source.next(epoch, samples);
        };
        return { ...source, next, announce: source.announce.bind(source), close: source.close.bind(source) };
      },
    });
    const { options } = smallRun(gpu, { samples: 11, batchSize: 6, ghostSize: 3, maxSteps: 4 });
    const model = new F1({ inputs: 3 * side * side, classes: 3, width: 8, hidden: 1 });
    const state = materialize(gpu, model, { seed: 1, maximumGhosts: options.epoch.maximumGhosts });
    const dataset = { ...streamed, train: watched("train"), test: watched("test") };
    const window = { train: 6, test: 2 };
    const data = await placeDataset(gpu, dataset, { seed: 1, augmentation: false, window });
    const run = { ...options, augmentation: false, evaluationBatch: 2, shards: 2, communicator };
    const trainer = await Trainer.create(gpu, state, data, run);
    const events: TrainEvent[] = [];
    for await (const event of trainer.run()) events.push(event);
    trainer.close();
    return { values: await readFloats(state.values), events, read };
  };
  const [alone] = await Promise.all(localRanks(1).map(train));
  const both = await Promise.all(localRanks(2).map(train));
  for (const { values, events } of both)
    expect({ values, events }).toEqual({ values: alone!.values, events: alone!.events });
  const sorted = (all: readonly number[]) => all.toSorted((a, b) => a - b);
  for (const part of ["train", "test"] as const) {
    expect(both.map(({ read }) => read[part].length).every((count) => count < alone!.read[part].length)).toBe(
      true,
    );
    expect(sorted(both.flatMap(({ read }) => read[part]))).toEqual(sorted(alone!.read[part]));
  }
});

test("the votes of all ranks reach every rank after the same step", async () => {
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

test("parameters that differ in one bit are detected, and the rank is named", async () => {
  const states = [0, 1].map(() => smallRun(gpu).state);
  const bits = new Uint32Array((await readFloats(states[1]!.values)).buffer);
  bits[bits.length >> 1]! ^= 1;
  gpu.write(states[1]!.values, bits);
  const checks = localRanks(2).map((communicator, rank) =>
    requireEqualParameters(communicator, states[rank]!, 5),
  );
  for (const check of checks)
    await expect(check).rejects.toThrow(/after step 5: the parameters of rank 1 \(here\) differ/);
});

test("shards are whole ghosts, in order, as even as possible, and cover the batch", () => {
  for (const samples of [8, 22, 64, 100]) {
    const layout = partitionBatch({ samples, batchSize: 100, ghostSize: 8, policy: "exact" });
    for (const count of [1, 2, 4, 8]) {
      const shards = cutIntoShards(layout, count);
      expect(shards).toHaveLength(count);
      const ghosts = shards.map((shard) => shard?.ghosts ?? 0);
      expect(Math.max(...ghosts) - Math.min(...ghosts)).toBeLessThanOrEqual(1);
      let [ghost, sample] = [0, 0];
      for (const shard of shards) {
        if (shard === null) continue;
        expect([shard.firstGhost, shard.firstSample]).toEqual([ghost, sample]);
        ghost += shard.ghosts;
        sample += shard.total;
      }
      expect([ghost, sample]).toEqual([layout.ghosts, samples]);
    }
  }
  expect(() => shardsOfRank(4, { rank: 0, size: 3 })).toThrow(/--shards 4: 3 ranks cannot share them evenly/);
});
