/** A data set in GPU memory: bytes and labels; batches are gathered from it by a kernel. */
import type { Gpu } from "../gpu/gpu.ts";
import { DataError } from "../support/errors.ts";
import { fromArray, type Tensor } from "../tensor/tensor.ts";
import type { Augmentation, ImageDataset, Normalization, Split } from "./dataset.ts";

export interface ResidentSplit {
  readonly count: number;
  /** [count, C, H, W] u8, in as many parts as the adapter's largest binding requires; usually one. */
  readonly images: readonly Tensor[];
  /** [count] u32 */
  readonly labels: Tensor;
  /** For a streamed split: `images` and `labels` are a window that this fills with each batch. */
  readonly feed?: Feed;
}

/** Fills the window of a streamed split. A batch's samples are then the first ones in it. */
export interface Feed {
  /** Announces the order of an epoch's samples; decoding starts. */
  announce(epoch: number, order: Uint32Array): void;
  /** Writes these samples to the window. @throws DataError naming an image that cannot be decoded */
  write(epoch: number, samples: Uint32Array): Promise<void>;
  /** Time spent waiting for batches so far, ms. */
  readonly waitMs: number;
  close(): void;
}

export interface ResidentDataset {
  readonly name: string;
  readonly classes: number;
  /** C, H, W. */
  readonly imageShape: readonly [number, number, number];
  readonly train: ResidentSplit;
  readonly test: ResidentSplit;
  /** [C, 2]: mean and standard deviation of a byte over 255. */
  readonly normalization: Tensor;
  readonly augmentation: Augmentation;
}

/**
 * @param maximumBytes the largest part of the images: the adapter's binding limit
 * @throws DeviceError if the adapter has too little memory; DataError if images, labels or normalization do not fit the data set
 */
export function uploadDataset(
  gpu: Gpu,
  dataset: ImageDataset,
  maximumBytes = gpu.device.limits.maxStorageBufferBindingSize,
): ResidentDataset {
  const imageShape = [dataset.channels, dataset.height, dataset.width] as const;
  const { mean, standardDeviation } = dataset.normalization;
  if (mean.length !== dataset.channels || standardDeviation.length !== dataset.channels) {
    throw new DataError(
      `${dataset.name}: expected a mean and a standard deviation for each of ${dataset.channels} channels, got ` +
        `${mean.length} and ${standardDeviation.length}`,
    );
  }
  const upload = (part: "train" | "test", label: string) =>
    uploadSplit(gpu, dataset[part], {
      imageShape,
      classes: dataset.classes,
      maximumBytes,
      label: `${dataset.name} ${label} images`,
    });
  return {
    name: dataset.name,
    classes: dataset.classes,
    imageShape,
    train: upload("train", "training"),
    test: upload("test", "test"),
    normalization: normalizationTensor(gpu, dataset.normalization),
    augmentation: dataset.augmentation,
  };
}

function uploadSplit(
  gpu: Gpu,
  split: Split,
  {
    imageShape,
    classes,
    maximumBytes,
    label,
  }: { imageShape: readonly number[]; classes: number; maximumBytes: number; label: string },
): ResidentSplit {
  const size = imageShape.reduce((product, side) => product * side, 1);
  if (split.images.length !== split.count * size) {
    throw new DataError(
      `${label}: expected ${split.count * size} bytes, ${split.count} images of ${imageShape.join(" × ")}, got ${split.images.length}`,
    );
  }
  const wrong = split.labels.findIndex((value) => value >= classes);
  if (wrong >= 0)
    throw new DataError(
      `${label}: sample ${wrong} has label ${split.labels[wrong]}, expected 0 to ${classes - 1}`,
    );
  const most = Math.max(1, Math.floor(maximumBytes / size));
  const images: Tensor[] = [];
  for (let first = 0; first < split.count; first += most) {
    const count = Math.min(most, split.count - first);
    const bytes = split.images.subarray(first * size, (first + count) * size) as Uint8Array<ArrayBuffer>;
    images.push(fromArray(gpu, bytes, [count, ...imageShape], label));
  }
  const labels = fromArray(gpu, Uint32Array.from(split.labels), [split.count], "labels");
  return { count: split.count, images, labels };
}

/** [C, 2]: mean and standard deviation of each channel. */
export function normalizationTensor(gpu: Gpu, { mean, standardDeviation }: Normalization): Tensor {
  const pairs = mean.flatMap((value, channel) => [value, standardDeviation[channel]!]);
  return fromArray(gpu, new Float32Array(pairs), [mean.length, 2], "normalization");
}
