// Re-estimated running statistics: nothing is left of the initial ones, and nothing else changes.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import type { ImageDataset } from "../../src/data/dataset.ts";
import { placeDataset } from "../../src/data/feed.ts";
import type { StreamedDataset } from "../../src/data/streamed.ts";
import { openImagenet } from "../../src/datasets/imagenet.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { F1 } from "../../src/models/f1.ts";
import { materialize } from "../../src/nn/model-state.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import type { Position } from "../../src/train/checkpoint.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { pngBytes, writeFiles } from "../support/image-files.ts";
import { smallRun } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

/** One step with a tiny learning rate: the network hardly changes, so any step has the statistics of the end. */
async function trained(reestimateStatistics: number, momentum: number) {
  const { state, data, options } = smallRun(gpu, { batchSize: 150, ghostSize: 50, maxSteps: 1 });
  const phases = options.regime.phases.map((phase) => ({ ...phase, learningRate: 1e-12, weightDecay: 0 }));
  const train = {
    ...options,
    regime: { ...options.regime, phases },
    running: { rule: "mean", momentum } as const,
    augmentation: false,
    reestimateStatistics,
  };
  const trainer = await Trainer.create(gpu, state, data, train);
  for await (const _ of trainer.run()) {
    // Only the state at the end matters.
  }
  const { runningMean, runningVariance, statistics } = state.normState!;
  return {
    values: await readFloats(state.values),
    running: [...(await readFloats(runningMean)), ...(await readFloats(runningVariance))],
    lastBatch: meanOverGhosts(await readFloats(statistics), runningMean.size),
  };
}

/** Means, then unbiased variances, of each channel over the three ghosts of 50. @param statistics [3, channels, 2] */
function meanOverGhosts(statistics: Float32Array, channels: number): number[] {
  const of = (kind: 0 | 1) =>
    Array.from({ length: channels }, (_, c) => {
      const ghosts = [0, 1, 2].map((g) => statistics[2 * (g * channels + c) + kind]!);
      return (ghosts[0]! + ghosts[1]! + ghosts[2]!) / 3;
    });
  return [...of(0), ...of(1).map((variance) => (variance * 50) / 49)];
}

/** Largest difference, in units of the largest value. */
function difference(a: readonly number[], b: readonly number[]): number {
  return Math.max(...a.map((v, i) => Math.abs(v - b[i]!))) / Math.max(...b.map(Math.abs));
}

test("they do not depend on the old running statistics, and are near those of one batch", async () => {
  const own = await trained(0, 1); // a momentum of 1 keeps only the last batch
  const few = await trained(0, 0.01); // mostly mean 0 and variance 1
  const anew = await trained(1, 0.01);
  const mean = await trained(3, 0.01);
  const before = await trained(3, 0.5);
  expect(Array.from(anew.values)).toEqual(Array.from(few.values));
  expect(mean.running).toEqual(before.running);
  expect(difference(few.running, own.running)).toBeGreaterThan(0.1);
  // Different ghosts of the same images.
  expect(difference(anew.running, own.running)).toBeLessThan(0.1);
  expect(difference(mean.running, own.running)).toBeLessThan(0.1);
});

test("they are the mean over ghosts and batches", async () => {
  // After n batches, the statistics table holds those of the n-th.
  const batches = [await trained(1, 0.1), await trained(2, 0.1), await trained(3, 0.1)];
  for (const n of [1, 2, 3]) {
    const { running } = batches[n - 1]!;
    const expected = running.map((_, i) =>
      batches.slice(0, n).reduce((sum, b) => sum + b.lastBatch[i]! / n, 0),
    );
    expect(difference(running, expected), `${n} batches`).toBeLessThan(1e-6);
  }
  expect(difference(batches[1]!.lastBatch, batches[0]!.lastBatch)).toBeGreaterThan(1e-4);
});

/** Running statistics after five steps from streamed images or images in memory, stopped once at `stopAt` if it is above 0. */
async function ofImages(dataset: ImageDataset | StreamedDataset, { stopAt = 0 } = {}) {
  const { options } = smallRun(gpu, {
    batchSize: 6,
    ghostSize: 3,
    samples: dataset.train.count,
    maxSteps: 5,
  });
  const model = new F1({ inputs: 3 * SIDE * SIDE, classes: 3, width: 8, hidden: 1 });
  const state = materialize(gpu, model, { seed: 1, maximumGhosts: options.epoch.maximumGhosts });
  const train = { ...options, augmentation: false, reestimateStatistics: 4 };
  let from: Position | number = 0;
  for (const last of stopAt > 0 ? [stopAt, Number.POSITIVE_INFINITY] : [Number.POSITIVE_INFINITY]) {
    const window = { train: 6, test: 6 };
    const data = await placeDataset(gpu, dataset, { seed: 1, augmentation: false, window });
    const trainer = await Trainer.create(gpu, state, data, train);
    const kinds: string[] = [];
    for await (const { kind } of trainer.run(from, (position) => {
      from = position;
      return position.step < last;
    }))
      kinds.push(kind);
    trainer.close();
    expect(kinds.at(-1) === "reestimated").toBe(last > 5);
  }
  const { runningMean, runningVariance } = state.normState!;
  return [...(await readFloats(runningMean)), ...(await readFloats(runningVariance))];
}

const SIDE = 8;

test("streamed images give the bits of images in memory, also if the run is stopped in between", async () => {
  const root = mkdtempSync(join(tmpdir(), "ghostbatch-estimator-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  // Epochs of two batches, of 6 and 5: the estimate begins in the middle of one and reaches into the next.
  const image = (n: number) => pngBytes(SIDE, SIDE, (x, y) => [(37 * x * (n + 1)) % 256, 31 * y, 23 * n]);
  const files = Array.from({ length: 11 }, (_, n) => [`train/n${n % 3}/${n}.JPEG`, image(n)]);
  writeFiles(root, { ...Object.fromEntries(files), "val/n0/x.JPEG": image(11) });
  const streamed = openImagenet(root, { resize: SIDE, crop: SIDE });
  const inMemory = async (part: "train" | "test") => {
    const source = await streamed[part].open({ seed: 1, augmentation: false });
    const samples = Uint32Array.from({ length: source.count }, (_, i) => i);
    const { images } = await source.next(0, samples);
    source.close();
    return { count: source.count, images, labels: streamed[part].labels };
  };
  const expected = await ofImages({
    ...streamed,
    train: await inMemory("train"),
    test: await inMemory("test"),
  });
  expect(expected.every(Number.isFinite)).toBe(true);
  expect(await ofImages(streamed)).toEqual(expected);
  expect(await ofImages(streamed, { stopAt: 3 })).toEqual(expected);
  expect(await ofImages(streamed, { stopAt: 5 })).toEqual(expected);
});
