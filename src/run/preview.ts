/** Training samples as the network sees them: gathered and augmented by the kernel that training uses. */

import type { DatasetFacts, ImageDataset } from "../data/dataset.ts";
import { isStreamed } from "../data/dataset-forms.ts";
import { uploadDataset } from "../data/resident.ts";
import type { StreamedDataset } from "../data/streamed.ts";
import { type LoadOptions, loadDataset, openDataset } from "../datasets/load.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { launchGather } from "../kernels/batch.ts";
import { permutation, STREAMS } from "../support/random.ts";
import { empty, fromArray, readFloats, readTensor, type Tensor } from "../tensor/tensor.ts";
import { StepUniform } from "../train/step-uniform.ts";

export interface PreviewOptions {
  /** Number of samples, from the beginning of the epoch. */
  readonly count: number;
  readonly seed: number;
  readonly epoch: number;
}

export interface Preview {
  readonly facts: DatasetFacts;
  /** [n, C, H, W] bytes: what the network sees, before normalization. */
  readonly images: Uint8Array;
  /** [n] */
  readonly labels: Uint32Array;
}

/**
 * The first samples of an epoch of training with this seed.
 * @throws as loadDataset; DeviceError if the data do not fit the adapter
 */
export async function previewTraining(
  gpu: Gpu,
  name: string,
  options: PreviewOptions,
  load: LoadOptions = {},
): Promise<Preview> {
  const dataset = isStreamed(name) ? openDataset(name, load) : await loadDataset(name, load);
  const { seed, epoch } = options;
  const order = permutation(dataset.train.count, { seed, stream: STREAMS.shuffle, epoch });
  const samples = order.subarray(0, Math.min(options.count, order.length));
  return gpu.lifetime(async () => {
    const source =
      "images" in dataset.train
        ? residentSource(gpu, dataset as ImageDataset, samples)
        : await streamedSource(gpu, dataset as StreamedDataset, samples, options);
    const x = empty(gpu, [samples.length, dataset.channels, dataset.height, dataset.width]);
    const labels = empty(gpu, [samples.length], "u32");
    const step = new StepUniform(gpu);
    const still = { learningRate: 0, momentum: 0, weightDecay: 0, clipNorm: 0, step: 0, firstSample: 0 };
    step.write({ ...still, seed, epoch });
    const tensors = { ...source.tensors, x, batchLabels: labels, step: step.tensor };
    launchGather(tensors, { first: 0, augmentation: source.augmentation });
    const images = unnormalize(await readFloats(x), dataset);
    return { facts: dataset, images, labels: (await readTensor(labels)) as Uint32Array };
  });
}

/** The bytes that a network sees as x = (byte / 255 − mean) / deviation. @param x [n, C, H, W] */
export function unnormalize(
  x: Float32Array,
  { normalization, height, width }: Pick<DatasetFacts, "normalization" | "height" | "width">,
): Uint8Array {
  const { mean, standardDeviation } = normalization;
  const plane = height * width;
  const bytes = Uint8ClampedArray.from(x, (value, i) => {
    const channel = Math.floor(i / plane) % mean.length;
    return 255 * (value * standardDeviation[channel] + mean[channel]);
  });
  return new Uint8Array(bytes.buffer);
}

interface Source {
  readonly tensors: { images: readonly Tensor[]; labels: Tensor; order: Tensor; normalization: Tensor };
  readonly augmentation: ImageDataset["augmentation"] | null;
}

function residentSource(gpu: Gpu, dataset: ImageDataset, samples: Uint32Array): Source {
  const { train, normalization, augmentation } = uploadDataset(gpu, dataset);
  const order = fromArray(gpu, samples.slice());
  return { tensors: { images: train.images, labels: train.labels, order, normalization }, augmentation };
}

/** A batch of a streamed data set, whose images the decoder has cropped and mirrored. */
async function streamedSource(
  gpu: Gpu,
  dataset: StreamedDataset,
  samples: Uint32Array,
  { seed, epoch }: PreviewOptions,
): Promise<Source> {
  const stream = await dataset.train.open({ seed, augmentation: true });
  const batch = await stream.next(epoch, samples);
  stream.close();
  const count = samples.length;
  const split = { count, images: batch.images, labels: Uint16Array.from(batch.labels) };
  const { train, normalization } = uploadDataset(gpu, { ...dataset, train: split, test: split });
  const order = fromArray(
    gpu,
    Uint32Array.from({ length: count }, (_, i) => i),
  );
  return {
    tensors: { images: train.images, labels: train.labels, order, normalization },
    augmentation: null,
  };
}
