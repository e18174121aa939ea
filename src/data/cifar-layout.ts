// The official binary files of CIFAR-10 and CIFAR-100: a record is one label byte (two in CIFAR-100: coarse, fine) and
// 3,072 bytes of pixels, red, green, blue, each 32 rows of 32.
// Source: Krizhevsky, "The CIFAR-10 dataset", cs.toronto.edu/~kriz/cifar.html, "Binary version".

import { DataError } from "../support/errors.ts";
import { CIFAR10_CLASSES, CIFAR100_COARSE, CIFAR100_FINE } from "./cifar-names.ts";
import { CIFAR_AUGMENTATION, type DatasetOutline, IMAGENET_NORMALIZATION } from "./dataset.ts";

export const CIFAR_VARIANTS = ["cifar10", "cifar100"] as const;
export type CifarVariant = (typeof CIFAR_VARIANTS)[number];

export const CIFAR_SIZE = 32;
export const CIFAR_CHANNELS = 3;
export const CIFAR_IMAGE_BYTES = CIFAR_CHANNELS * CIFAR_SIZE * CIFAR_SIZE;

/** CIFAR-100's 100 classes or its 20 groups of them; CIFAR-10 has fine labels only. */
export type CifarLabels = "fine" | "coarse";

export interface CifarFile {
  readonly name: string;
  /** Number of images in it. */
  readonly count: number;
  readonly sha256: string;
}

export interface CifarLayout {
  readonly variant: CifarVariant;
  readonly title: string;
  /** The folder that the archive unpacks to. */
  readonly folder: string;
  /** The folder of the Python version, which cannot be read. */
  readonly pythonFolder: string;
  readonly archive: { readonly name: string; readonly url: string; readonly sha256: string };
  /** Class names of each label byte of a record, in the order of the bytes. */
  readonly labels: readonly { readonly kind: "fine" | "coarse"; readonly classNames: readonly string[] }[];
  readonly train: readonly CifarFile[];
  readonly test: readonly CifarFile[];
}

/** Bytes of one record. */
export function recordBytes({ labels }: CifarLayout): number {
  return labels.length + CIFAR_IMAGE_BYTES;
}

// The checksums of the archives and of the files in them are those that TensorFlow Datasets (url_checksums) and
// torch-rb's torchvision (cifar10.rb, cifar100.rb) publish for the official address.
export const CIFAR_LAYOUTS: Readonly<Record<CifarVariant, CifarLayout>> = {
  cifar10: {
    variant: "cifar10",
    title: "CIFAR-10",
    folder: "cifar-10-batches-bin",
    pythonFolder: "cifar-10-batches-py",
    archive: {
      name: "cifar-10-binary.tar.gz",
      url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
      sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    },
    labels: [{ kind: "fine", classNames: CIFAR10_CLASSES }],
    train: [
      batch("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
      batch("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
      batch("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
      batch("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
      batch("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
    ],
    test: [batch("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b")],
  },
  cifar100: {
    variant: "cifar100",
    title: "CIFAR-100",
    folder: "cifar-100-binary",
    pythonFolder: "cifar-100-python",
    archive: {
      name: "cifar-100-binary.tar.gz",
      url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
      sha256: "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    },
    labels: [
      { kind: "coarse", classNames: CIFAR100_COARSE },
      { kind: "fine", classNames: CIFAR100_FINE },
    ],
    train: [
      {
        name: "train.bin",
        count: 50_000,
        sha256: "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29",
      },
    ],
    test: [batch("test.bin", "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a")],
  },
};

function batch(name: string, sha256: string): CifarFile {
  return { name, count: 10_000, sha256 };
}

/** What is known without the files. `normalization` is that of the released code. */
export function cifarFacts(
  layout: CifarLayout,
  { labels = "fine" }: { readonly labels?: CifarLabels } = {},
): DatasetOutline {
  const { classNames } = layout.labels[labelByte(layout, labels)];
  return {
    name: labels === "fine" ? layout.variant : `${layout.variant}-${labels}`,
    classes: classNames.length,
    channels: CIFAR_CHANNELS,
    height: CIFAR_SIZE,
    width: CIFAR_SIZE,
    classNames,
    normalization: IMAGENET_NORMALIZATION,
    augmentation: CIFAR_AUGMENTATION,
    trainCount: countOf(layout.train),
    testCount: countOf(layout.test),
  };
}

/** The position of this kind of label in a record. @throws DataError if the data set has none */
export function labelByte({ labels, title }: CifarLayout, kind: CifarLabels): number {
  const byte = labels.findIndex((label) => label.kind === kind);
  if (byte < 0) throw new DataError(`${title} has no ${kind} labels, only ${labels[0].kind} ones`);
  return byte;
}

/** Number of images in the files. */
export function countOf(files: readonly CifarFile[]): number {
  return files.reduce((sum, { count }) => sum + count, 0);
}
