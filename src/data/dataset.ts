// What a data set of labelled images is to the rest of the program: bytes, labels, and how they are meant.

import { DataError } from "../support/errors.ts";

/** Images of one part of a data set, in the order of its files. */
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

/** Training augmentation: pad on every side, crop back to the size at random, then perhaps mirror left to right. */
export interface Augmentation {
  /** Pixels added on every side, so crop offsets are 0 … 2·padding along each axis. */
  readonly padding: number;
  /** Byte value of the added pixels, before normalization. */
  readonly padValue: number;
  /** Whether half of the images, chosen at random, are mirrored. */
  readonly flip: boolean;
}

export const NO_AUGMENTATION: Augmentation = { padding: 0, padValue: 0, flip: false };

export interface ImageDataset {
  readonly name: string;
  readonly classes: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classNames: readonly string[];
  readonly train: Split;
  readonly test: Split;
  readonly normalization: Normalization;
  readonly augmentation: Augmentation;
}

/** Bytes of one image of the set. */
export function imageBytes({
  channels,
  height,
  width,
}: Pick<ImageDataset, "channels" | "height" | "width">): number {
  return channels * height * width;
}

/** How many samples of each class a split has, [classes]. */
export function classCounts({ labels }: Pick<Split, "labels">, classes: number): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const label of labels) counts[label]++;
  return counts;
}

/**
 * Checks that every label names a class, as the loss reads its row of logits at the label.
 * @param where       the file, for the message
 * @param firstOffset byte offset of the first label in it
 * @throws DataError for the first label that does not
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
