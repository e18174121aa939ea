// CIFAR-10 and CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test images in color, 32×32.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import {
  CIFAR_IMAGE_BYTES,
  type CifarFile,
  type CifarLabels,
  type CifarLayout,
  cifarFacts,
  countOf,
  labelByte,
  recordBytes,
} from "../data/cifar-layout.ts";
import { channelStatistics, classCounts, type ImageDataset, type Split } from "../data/dataset.ts";
import { DataError } from "../support/errors.ts";
import { readRecords } from "./binary-file.ts";

/** Where CIFAR is read from and downloaded to, unless --data-dir names another folder. */
export const DEFAULT_DATA_DIRECTORY = "data";

export interface CifarOptions {
  /** The folder of the binary files, or the one that their archive was unpacked in. Default "data". */
  readonly dataDir?: string | undefined;
  /** CIFAR-100's 100 classes (default) or its 20 groups of them; CIFAR-10 has fine labels only. */
  readonly labels?: CifarLabels;
  /** ImageNet's constants, as the paper's released code (default), or mean and deviation of these training images. */
  readonly normalization?: "released" | "per-channel";
}

/**
 * Reads and checks the official binary files. Checksums are not compared here (`describeCifar` does that), so that
 * other images in the same format can be used.
 * @throws DataError for a file that is missing, truncated or too long, or has a label out of range
 */
export function loadCifar(layout: CifarLayout, options: CifarOptions = {}): ImageDataset {
  const { trainCount: _, testCount: __, ...facts } = cifarFacts(layout, options);
  const folder = findCifarFolder(layout, options.dataDir);
  const label = labelByte(layout, options.labels ?? "fine");
  const train = readSplit(layout, layout.train, folder, label);
  const test = readSplit(layout, layout.test, folder, label);
  if (options.normalization !== "per-channel") return { ...facts, train, test };
  return {
    ...facts,
    name: `${facts.name}-per-channel`,
    normalization: channelStatistics(train.images, facts),
    train,
    test,
  };
}

export interface CifarDescription {
  readonly folder: string;
  readonly files: readonly {
    readonly path: string;
    readonly bytes: number;
    readonly sha256: string;
    /** Whether the checksum is that of the official file. */
    readonly matches: boolean;
  }[];
  readonly train: { readonly count: number; readonly classCounts: readonly number[] };
  readonly test: { readonly count: number; readonly classCounts: readonly number[] };
}

/** Where the files are, their checksums and class counts (fine labels). @throws DataError as `loadCifar` */
export function describeCifar(layout: CifarLayout, options: CifarOptions = {}): CifarDescription {
  const folder = findCifarFolder(layout, options.dataDir);
  const files = [...layout.train, ...layout.test].map(({ name, count, sha256 }) => {
    const path = join(folder, name);
    const bytes = readRecords(path, { count, recordBytes: recordBytes(layout) });
    const found = createHash("sha256").update(bytes).digest("hex");
    return { path, bytes: bytes.length, sha256: found, matches: found === sha256 };
  });
  const { train, test, classes } = loadCifar(layout, { dataDir: options.dataDir });
  const describe = (split: Split) => ({ count: split.count, classCounts: classCounts(split, classes) });
  return { folder, files, train: describe(train), test: describe(test) };
}

/**
 * The folder that has the files: `dataDir` itself or the archive's own folder in it.
 * @throws DataError naming the first file that is missing
 */
export function findCifarFolder(layout: CifarLayout, dataDir = DEFAULT_DATA_DIRECTORY): string {
  const missing = missingCifarFile(layout, dataDir);
  if (missing === null) return folderWithFiles(layout, dataDir);
  throw new DataError(`${missing}: ${layout.title}'s file is missing: ${remedy(layout, dataDir)}`);
}

/** The path of the first missing file, or null. */
export function missingCifarFile(layout: CifarLayout, dataDir = DEFAULT_DATA_DIRECTORY): string | null {
  const folder = folderWithFiles(layout, dataDir);
  const missing = [...layout.train, ...layout.test].find(({ name }) => !existsSync(join(folder, name)));
  return missing ? join(folder, missing.name) : null;
}

/** The one of the two folders that has any of the files; the archive's own if neither has. */
function folderWithFiles({ folder, train, test }: CifarLayout, dataDir: string): string {
  const own = join(dataDir, folder);
  const holds = (candidate: string) =>
    [...train, ...test].some(({ name }) => existsSync(join(candidate, name)));
  return !holds(own) && holds(dataDir) ? dataDir : own;
}

function remedy(layout: CifarLayout, dataDir: string): string {
  const command = `ghostbatch data ${layout.variant} --data-dir ${dataDir}`;
  const archive = join(dataDir, layout.archive.name);
  if (existsSync(archive)) return `unpack ${archive} with \`${command} --from ${archive}\``;
  const python = join(dataDir, layout.pythonFolder);
  const note = existsSync(python) ? ` (${python} is the Python version; the binary version is needed)` : "";
  return `\`${command}\` fetches it, or reads it from a folder or an archive with --from${note}`;
}

function readSplit(
  layout: CifarLayout,
  files: readonly CifarFile[],
  folder: string,
  labelByte: number,
): Split {
  const count = countOf(files);
  const images = new Uint8Array(count * CIFAR_IMAGE_BYTES);
  const labels = new Uint8Array(count);
  const bytes = recordBytes(layout);
  let sample = 0;
  for (const { name, count } of files) {
    const path = join(folder, name);
    const records = readRecords(path, { count, recordBytes: bytes });
    requireRecordLabels(layout, records, path);
    for (let at = 0; at < records.length; at += bytes, sample++) {
      labels[sample] = records[at + labelByte];
      images.set(records.subarray(at + bytes - CIFAR_IMAGE_BYTES, at + bytes), sample * CIFAR_IMAGE_BYTES);
    }
  }
  return { count, images, labels };
}

/** All label bytes are checked, used or not: one out of range shows that the file is not CIFAR. */
function requireRecordLabels(layout: CifarLayout, records: Uint8Array, path: string): void {
  const bytes = recordBytes(layout);
  for (const [byte, { kind, classNames }] of layout.labels.entries()) {
    for (let at = byte; at < records.length; at += bytes) {
      if (records[at] < classNames.length) continue;
      throw new DataError(
        `${path}: ${kind} label ${records[at]} of record ${(at - byte) / bytes} (byte ${at}) is out of range: ` +
          `expected 0 to ${classNames.length - 1}`,
      );
    }
  }
}
