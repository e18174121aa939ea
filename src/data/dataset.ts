// A data set of labelled images, as the rest of the program sees it: bytes, labels, and what they mean.

import { DataError } from "../support/errors.ts";

/** One part of a data set, training or test, in the order of its files. */
export interface Split {
  readonly count: number;
  /** [count, channels, height, width], 0 … 255. */
  readonly images: Uint8Array;
  /** [count], each below the number of classes. */
  readonly labels: Uint8Array | Uint16Array;
}

/** x = (byte / 255 − mean) / standardDeviation, one pair per channel. */
export interface Normalization {
  readonly mean: readonly number[];
  readonly standardDeviation: readonly number[];
}

/** Training augmentation: pad on every side, crop back to the size at random, then mirror half of the images if asked to. */
export interface Augmentation {
  /** Pixels added on every side, so crop offsets are 0 … 2·padding along each axis. */
  readonly padding: number;
  /** Byte value of the added pixels, before normalization. */
  readonly padValue: number;
  /** Whether half of the images, chosen at random, are mirrored. */
  readonly flip: boolean;
}

/** Mean and deviation of ImageNet's training images; the paper's released code also uses them for CIFAR. */
export const IMAGENET_NORMALIZATION: Normalization = {
  mean: [0.485, 0.456, 0.406],
  standardDeviation: [0.229, 0.224, 0.225],
};

/** As in the paper's released code: CIFAR images are padded with 4 grey pixels, and half of them are mirrored. */
export const CIFAR_AUGMENTATION: Augmentation = { padding: 4, padValue: 127, flip: true };

export const NO_AUGMENTATION: Augmentation = { padding: 0, padValue: 0, flip: false };

/** What is known of a data set without its images. */
export interface DatasetFacts {
  /** Usable as a file name. */
  readonly name: string;
  readonly classes: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classNames: readonly string[];
  readonly normalization: Normalization;
  readonly augmentation: Augmentation;
}

/** What a plan needs to know about a data set, without its files. */
export interface DatasetOutline extends DatasetFacts {
  /** Training samples. */
  readonly trainCount: number;
  /** Test samples. */
  readonly testCount: number;
}

/** A data set whose images are all in memory. */
export interface ImageDataset extends DatasetFacts {
  readonly train: Split;
  readonly test: Split;
}

/** Bytes per image. */
export function imageBytes({
  channels,
  height,
  width,
}: Pick<DatasetFacts, "channels" | "height" | "width">): number {
  return channels * height * width;
}

/** Number of samples of each class in a split, [classes]. */
export function classCounts({ labels }: Pick<Split, "labels">, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]++;
  return counts;
}

/** Indices of channels with a constant value: their deviation is 0, and they are normalized to 0. */
export function constantChannels({ standardDeviation }: Normalization): number[] {
  return standardDeviation.flatMap((deviation, channel) => (deviation === 0 ? [channel] : []));
}

/**
 * Mean and standard deviation of each channel over all pixels of the images, as fractions of 255.
 * @param images [count, channels, height, width]
 */
export function channelStatistics(
  images: Uint8Array,
  { channels, height, width }: Pick<DatasetFacts, "channels" | "height" | "width">,
): Normalization {
  const pixels = height * width;
  const histograms = Array.from({ length: channels }, () => new Uint32Array(256));
  for (let start = 0, c = 0; start < images.length; start += pixels, c = (c + 1) % channels) {
    const histogram = histograms[c];
    for (let i = start; i < start + pixels; i++) histogram[images[i]]++;
  }
  const moments = histograms.map((histogram) => {
    const count = histogram.reduce((sum, n) => sum + n, 0);
    const mean = histogram.reduce((sum, n, byte) => sum + n * byte, 0) / count;
    const variance = histogram.reduce((sum, n, byte) => sum + n * (byte - mean) ** 2, 0) / count;
    return { mean: mean / 255, deviation: Math.sqrt(variance) / 255 };
  });
  return {
    mean: moments.map(({ mean }) => mean),
    standardDeviation: moments.map(({ deviation }) => deviation),
  };
}

/**
 * Checks that every label names a class, as the loss reads its row of logits at the label.
 * @param where       the file, for the message
 * @param firstOffset byte offset of the first label in it
 * @throws DataError for the first one out of range
 */
export function requireLabels(labels: Uint8Array, classes: number, where: string, firstOffset: number): void {
  const position = labels.findIndex((label) => label >= classes);
  if (position >= 0) {
    throw new DataError(
      `${where}: label ${labels[position]} of sample ${position} (byte ${firstOffset + position}) is out of range: ` +
        `expected 0 to ${classes - 1}`,
    );
  }
}
