/** A streamed split on the GPU: a window of one batch, written before each step and decoded during earlier ones. */

import type { Gpu } from "../gpu/gpu.ts";
import { fromArray, persistent } from "../tensor/tensor.ts";
import { type ImageDataset, NO_AUGMENTATION } from "./dataset.ts";
import {
  type Feed,
  normalizationTensor,
  type ResidentDataset,
  type ResidentSplit,
  uploadDataset,
} from "./resident.ts";
import type { StreamedDataset, StreamedSplit } from "./streamed.ts";

/** What is done with the samples of a run. */
export interface PlacementOptions {
  readonly seed: number;
  /** Whether training images are cropped, shifted and mirrored at random, as their data set says. */
  readonly augmentation: boolean;
  /** False: cropped and shifted, but not mirrored. True by default. */
  readonly mirroring?: boolean;
  /** Samples of the largest batch of each split, for a data set that is streamed. */
  readonly window: { readonly train: number; readonly test: number };
}

/** A data set of either kind on the GPU: complete or, if streamed, windows for the largest batches. */
export async function placeDataset(
  gpu: Gpu,
  dataset: ImageDataset | StreamedDataset,
  options: PlacementOptions,
): Promise<ResidentDataset> {
  if (!isImageDataset(dataset)) return openStreams(gpu, dataset, options);
  const { augmentation } = dataset;
  const flip = augmentation.flip && options.mirroring !== false;
  return uploadDataset(gpu, { ...dataset, augmentation: { ...augmentation, flip } });
}

/** Whether the whole data set is in memory. */
export function isImageDataset(dataset: ImageDataset | StreamedDataset): dataset is ImageDataset {
  return "images" in dataset.train;
}

/** @throws DeviceError when a window is larger than the adapter binds */
async function openStreams(
  gpu: Gpu,
  dataset: StreamedDataset,
  { seed, augmentation, mirroring = true, window }: PlacementOptions,
): Promise<ResidentDataset> {
  const imageShape = [dataset.channels, dataset.height, dataset.width] as const;
  const open = (part: "train" | "test") =>
    openSplit(gpu, dataset[part], {
      imageShape,
      seed,
      augmentation: augmentation && part === "train",
      mirroring,
      window: window[part],
    });
  return {
    name: dataset.name,
    classes: dataset.classes,
    imageShape,
    train: await open("train"),
    test: await open("test"),
    normalization: normalizationTensor(gpu, dataset.normalization),
    augmentation: NO_AUGMENTATION, // the decoder crops and mirrors
  };
}

async function openSplit(
  gpu: Gpu,
  split: StreamedSplit,
  options: Required<Omit<PlacementOptions, "window">> & { imageShape: readonly number[]; window: number },
): Promise<ResidentSplit> {
  const { imageShape, seed, augmentation, mirroring } = options;
  const window = Math.min(options.window, split.count);
  const images = persistent(gpu, [window, ...imageShape], { dtype: "u8", label: "images of a batch" });
  const labels = fromArray(gpu, new Uint32Array(window), [window], "labels of a batch");
  const source = await split.open({ seed, augmentation, mirroring });
  const feed: Feed = {
    announce: (epoch, order) => source.announce(epoch, order),
    write: async (epoch, samples) => {
      const batch = await source.next(epoch, samples);
      // The first of the window: fewer in the last batch of an epoch, and none on a rank without a shard of it.
      gpu.write(images, batch.images);
      gpu.write(labels, batch.labels);
    },
    get waitMs() {
      return source.waitMs;
    },
    close: () => source.close(),
  };
  return { count: split.count, images: [images], labels, feed };
}
