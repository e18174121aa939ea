/** The list of data sets: how each is named and loaded. Adding one is its file and one entry here. */
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { suggestion } from "../support/closest.ts";
import { UsageError } from "../support/errors.ts";
import { cifarFacts, loadCifar } from "./cifar.ts";
import { CIFAR_LAYOUTS } from "./cifar-layout.ts";
import type { DatasetOutline, ImageDataset } from "./dataset.ts";
import {
  choiceOption,
  type DatasetName,
  fractionOption,
  parseDatasetName,
  requireKnownOptions,
  sizeOption,
  wholeOption,
} from "./dataset-name.ts";
import { loadImageFolder } from "./image-folder.ts";
import { IMAGENET_GEOMETRY, imagenetFacts, openImagenet } from "./imagenet.ts";
import { loadMnist, mnistFacts } from "./mnist.ts";
import type { StreamedDataset, StreamGeometry } from "./streamed.ts";
import { syntheticDataset, syntheticFacts, syntheticOptions } from "./synthetic.ts";

export interface LoadOptions {
  /** Folder of the data set's files, where it is not embedded. */
  readonly dataDir?: string | undefined;
  /** Where a relative path in a data set's name begins, if there is such a folder there; else the working folder. */
  readonly baseDirectory?: string | undefined;
  /** Folder of decoded images; the user's own by default. */
  readonly cacheDirectory?: string | undefined;
  /** Images decoded so far, while a folder of images is read for the first time. */
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
  readonly onWarning?: ((text: string) => void) | undefined;
}

interface Entry {
  /** How it is written. */
  readonly form: string;
  readonly about: string;
  /** Options and their values, as the help shows them. */
  readonly options: Readonly<Record<string, string>>;
  /** What the official data set is, for a plan without its files; null where only the files tell. */
  outline(name: DatasetName): DatasetOutline | null;
  load?(name: DatasetName, options: LoadOptions): ImageDataset | Promise<ImageDataset>;
  /** Instead of `load` for one that is streamed. */
  open?(name: DatasetName, options: LoadOptions): StreamedDataset;
}

const NORMALIZATIONS = ["released", "per-channel"] as const;
const NORMALIZATION_HELP =
  "released: ImageNet's mean and deviation, as the authors (default); per-channel: those of its own training images";

const ENTRIES: Readonly<Record<string, Entry>> = {
  mnist: {
    form: "mnist",
    about: "handwritten digits, 28×28 (embedded)",
    options: {},
    outline: mnistFacts,
    load: (_, { dataDir, onWarning }) => loadMnist({ dataDir, onWarning }),
  },
  cifar10: {
    form: "cifar10",
    about: "CIFAR-10, 32×32 (ghostbatch data cifar10 fetches it)",
    options: { normalization: NORMALIZATION_HELP },
    outline: () => cifarFacts(CIFAR_LAYOUTS.cifar10),
    load: (name, { dataDir }) => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir, ...normalizationOf(name) }),
  },
  cifar100: {
    form: "cifar100",
    about: "CIFAR-100, 32×32 (ghostbatch data cifar100 fetches it)",
    options: { labels: "fine (default) or coarse", normalization: NORMALIZATION_HELP },
    outline: (name) => cifarFacts(CIFAR_LAYOUTS.cifar100, labelsOf(name)),
    load: (name, { dataDir }) =>
      loadCifar(CIFAR_LAYOUTS.cifar100, { dataDir, ...labelsOf(name), ...normalizationOf(name) }),
  },
  folder: {
    form: "folder:PATH",
    about: "JPEG or PNG files in PATH/train/CLASS and PATH/test/CLASS (or val), or in PATH/CLASS",
    options: {
      size: "N or HEIGHTxWIDTH, pixels that images are scaled and cropped to (default: theirs, if all are the same)",
      test: "fraction of each class for testing, where there is no test or val folder",
      seed: "which images those are (default: 0)",
      normalization: NORMALIZATION_HELP,
    },
    outline: () => null,
    load: (name, options) =>
      loadImageFolder(placeOf(requireArgument(name, "folder:PATH"), options), {
        ...options,
        ...normalizationOf(name),
        size: sizeOption(name, "size"),
        testFraction: fractionOption(name, "test"),
        seed: wholeOption(name, "seed", 0) ?? 0,
      }),
  },
  imagenet: {
    form: "imagenet",
    about: "photographs in DATA-DIR/train/CLASS and DATA-DIR/val/CLASS, read while training",
    options: {
      resize: "pixels of the shorter side after scaling (default: 256)",
      crop: "pixels of a side of the square cut out (default: 224)",
    },
    outline: (name) => imagenetFacts(geometryOf(name)),
    open: (name, { dataDir, onWarning }) => openImagenet(dataDir, geometryOf(name), onWarning),
  },
  synthetic: {
    form: "synthetic[:CxHxW:CLASSES[:TRAIN:TEST]]",
    about: "made-up images with a rule that can be learned (default: 1x28x28:10:8192:2048)",
    options: {},
    outline: (name) => syntheticFacts(syntheticOptions(name.argument)),
    load: (name) => syntheticDataset(syntheticOptions(name.argument)),
  },
};

/** How each data set is written. */
export const DATASET_FORMS = Object.values(ENTRIES).map(({ form }) => form);

/** A line for each data set and each of its options. */
export function datasetHelp(): string {
  const lines = Object.values(ENTRIES).flatMap(({ form, about, options }) => [
    `  ${form}  ${about}`,
    ...Object.entries(options).map(([key, text]) => `      ,${key}=…  ${text}`),
  ]);
  return lines.join("\n");
}

/** Whether a data set is read while it is used: `openDataset` then, not `loadDataset`. @throws UsageError for an unknown name */
export function isStreamed(text: string): boolean {
  return entryOf(text).entry.open !== undefined;
}

/**
 * Reads a data set into memory.
 * @throws UsageError for a name or an option that is unknown, DataError when its files are missing or damaged
 */
export async function loadDataset(text: string, options: LoadOptions = {}): Promise<ImageDataset> {
  const { name, entry } = entryOf(text);
  if (entry.load) return entry.load(name, options);
  throw new UsageError(`data set ${text}: is streamed, and cannot be kept in memory`);
}

/** Opens a data set that is streamed. @throws as `loadDataset` */
export function openDataset(text: string, options: LoadOptions = {}): StreamedDataset {
  const { name, entry } = entryOf(text);
  if (entry.open) return entry.open(name, options);
  throw new UsageError(`data set ${text}: is kept in memory, not streamed`);
}

/** What the official data set is, without its files; null for a folder, which only its files tell. @throws UsageError */
export function outlineDataset(text: string): DatasetOutline | null {
  const { name, entry } = entryOf(text);
  return entry.outline(name);
}

function entryOf(text: string): { name: DatasetName; entry: Entry } {
  const name = parseDatasetName(text);
  const entry = Object.hasOwn(ENTRIES, name.name) ? ENTRIES[name.name] : undefined;
  if (!entry) {
    const known = Object.keys(ENTRIES);
    throw new UsageError(
      `data set: there is no ${JSON.stringify(name.name)}: ${suggestion(name.name, known)}`,
    );
  }
  requireKnownOptions(name, Object.keys(entry.options));
  if (name.argument !== null && !entry.form.includes(":")) {
    throw new UsageError(`data set ${text}: ${name.name} is written without a colon`);
  }
  return { name, entry };
}

function requireArgument({ text, argument }: DatasetName, form: string): string {
  if (argument) return argument;
  throw new UsageError(`data set ${text}: is written ${form}`);
}

function placeOf(path: string, { baseDirectory = "." }: LoadOptions): string {
  const place = resolve(baseDirectory, path);
  return existsSync(place) ? place : path;
}

function normalizationOf(name: DatasetName) {
  return { normalization: choiceOption(name, "normalization", NORMALIZATIONS) };
}

function labelsOf(name: DatasetName) {
  return { labels: choiceOption(name, "labels", ["fine", "coarse"] as const) };
}

function geometryOf(name: DatasetName): StreamGeometry {
  return {
    resize: wholeOption(name, "resize", 1) ?? IMAGENET_GEOMETRY.resize,
    crop: wholeOption(name, "crop", 1) ?? IMAGENET_GEOMETRY.crop,
  };
}
