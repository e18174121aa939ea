/** A data set in GPU memory: bytes and labels; batches are gathered from it by a kernel. */
import type { Gpu } from "../gpu/gpu.ts";
import { fromArray, type Tensor } from "../tensor/tensor.ts";
import type { Augmentation, ImageDataset, Normalization, Split } from "./dataset.ts";

export interface ResidentSplit {
  readonly count: number;
  /** [count, C, H, W] u8 */
  readonly images: Tensor;
  /** [count] u32 */
  readonly labels: Tensor;
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

/** @throws DeviceError when a split is larger than the adapter binds */
export function uploadDataset(gpu: Gpu, dataset: ImageDataset): ResidentDataset {
  const imageShape = [dataset.channels, dataset.height, dataset.width] as const;
  return {
    name: dataset.name,
    classes: dataset.classes,
    imageShape,
    train: uploadSplit(gpu, dataset.train, imageShape, `${dataset.name} training images`),
    test: uploadSplit(gpu, dataset.test, imageShape, `${dataset.name} test images`),
    normalization: uploadNormalization(gpu, dataset.normalization),
    augmentation: dataset.augmentation,
  };
}

function uploadSplit(gpu: Gpu, split: Split, imageShape: readonly number[], label: string): ResidentSplit {
  const images = fromArray(gpu, split.images as Uint8Array<ArrayBuffer>, [split.count, ...imageShape], label);
  const labels = fromArray(gpu, Uint32Array.from(split.labels), [split.count], "labels");
  return { count: split.count, images, labels };
}

function uploadNormalization(gpu: Gpu, { mean, standardDeviation }: Normalization): Tensor {
  const pairs = mean.flatMap((value, channel) => [value, standardDeviation[channel]!]);
  return fromArray(gpu, new Float32Array(pairs), [mean.length, 2], "normalization");
}
