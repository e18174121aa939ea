// A preview shows what training gathers, and a data set in parts is gathered like a whole one.

import { beforeAll, expect, onTestFinished, test } from "vitest";
import type { ImageDataset } from "../../src/data/dataset.ts";
import { uploadDataset } from "../../src/data/resident.ts";
import { syntheticDataset } from "../../src/data/synthetic.ts";
import { openDataset } from "../../src/datasets/load.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchGather } from "../../src/kernels/batch.ts";
import { previewTraining, unnormalize } from "../../src/run/preview.ts";
import { permutation, STREAMS } from "../../src/support/random.ts";
import { empty, fromArray, readTensor } from "../../src/tensor/tensor.ts";
import { IDLE_STEP, StepUniform } from "../../src/train/step-uniform.ts";
import { pngBytes, writeFiles } from "../support/image-files.ts";
import { temporaryFolder } from "../support/temporary-folder.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

test("samples in the epoch's order, converted back to bytes", async () => {
  const SHAPE = "3x6x5:4:40:8";
  const data = syntheticDataset({
    channels: 3,
    height: 6,
    width: 5,
    classes: 4,
    train: 40,
    test: 8,
    seed: 0,
  });
  const { images, labels } = await previewTraining(gpu, `synthetic:${SHAPE}`, {
    count: 7,
    seed: 9,
    epoch: 2,
  });
  const order = permutation(40, { seed: 9, stream: STREAMS.shuffle, epoch: 2 }).subarray(0, 7);
  expect([...labels]).toEqual([...order].map((sample) => data.train.labels[sample]));
  const expected = [...order].flatMap((sample) => [
    ...data.train.images.subarray(sample * 90, (sample + 1) * 90),
  ]);
  expect([...images]).toEqual(expected);
});

test("a streamed data set is cropped as in training, and only once", async () => {
  const root = temporaryFolder();
  const image = (n: number) => pngBytes(9, 7, (x, y) => [20 * x, 30 * y, n]);
  writeFiles(root, { "train/a/1.png": image(1), "train/b/2.png": image(2), "val/a/1.png": image(3) });
  const name = "imagenet,resize=7,crop=5";
  const { images, labels } = await previewTraining(
    gpu,
    name,
    { count: 9, seed: 4, epoch: 1 },
    { dataDir: root },
  );
  const order = permutation(2, { seed: 4, stream: STREAMS.shuffle, epoch: 1 });
  const source = await openDataset(name, { dataDir: root }).train.open({ seed: 4, augmentation: true });
  onTestFinished(() => source.close());
  const batch = await source.next(1, order);
  expect([...labels]).toEqual([...batch.labels]);
  expect([...images]).toEqual([...batch.images]);
});

test("images in several parts, as for a small binding limit, are gathered like one", async () => {
  const plain = syntheticDataset({
    channels: 3,
    height: 5,
    width: 7,
    classes: 4,
    train: 50,
    test: 4,
    seed: 1,
  });
  const data: ImageDataset = { ...plain, augmentation: { padding: 2, padValue: 127, flip: true } };
  const order = permutation(50, { seed: 3, stream: STREAMS.shuffle });
  const gather = async (maximumBytes: number) => {
    const { train, normalization, augmentation } = uploadDataset(gpu, data, maximumBytes);
    const x = fromArray(gpu, new Float32Array(50 * 105).fill(Number.NaN), [50, 3, 5, 7]);
    const batchLabels = empty(gpu, [50], "u32");
    const step = new StepUniform(gpu);
    step.write({ ...IDLE_STEP, seed: 5, epoch: 6 });
    const tensors = {
      ...train,
      normalization,
      order: fromArray(gpu, Uint32Array.from(order)),
      x,
      batchLabels,
      step: step.tensor,
    };
    launchGather(tensors, { first: 0, augmentation });
    return { parts: train.images.length, x: await readTensor(x), labels: await readTensor(batchLabels) };
  };
  const whole = await gather(2 ** 20);
  const parts = await gather(17 * 105 + 3); // 17 images of an odd number of bytes in each
  expect([whole.parts, parts.parts]).toEqual([1, 3]);
  expect(parts.x).toEqual(whole.x);
  expect([...parts.labels]).toEqual([...order].map((sample) => data.train.labels[sample]));
});

test("unnormalize inverts normalization, byte for byte", () => {
  const normalization = { mean: [0.5, 0.2], standardDeviation: [0.25, 0.1] };
  const bytes = Uint8Array.of(0, 255, 127, 3, 200, 100);
  const [height, width] = [1, 3];
  const x = Float32Array.from(bytes, (byte, i) => {
    const c = Math.floor(i / 3);
    return (byte / 255 - normalization.mean[c]!) / normalization.standardDeviation[c]!;
  });
  expect([...unnormalize(x, { normalization, height, width })]).toEqual([...bytes]);
});
