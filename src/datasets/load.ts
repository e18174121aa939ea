/** Reads a data set by name. To add one, write its loader, and add an entry here and one in data/dataset-forms.ts. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { CIFAR_LAYOUTS } from "../data/cifar-layout.ts";
import type { ImageDataset } from "../data/dataset.ts";
import { type DatasetKey, formOf, geometryOf, labelsOf } from "../data/dataset-forms.ts";
import {
  choiceOption,
  type DatasetName,
  fractionOption,
  sizeOption,
  wholeOption,
} from "../data/dataset-name.ts";
import type { StreamedDataset } from "../data/streamed.ts";
import { syntheticDataset, syntheticOptions } from "../data/synthetic.ts";
import { UsageError } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { loadCifar } from "./cifar.ts";
import { loadImageFolder } from "./image-folder.ts";
import { openImagenet } from "./imagenet.ts";
import { loadMnist } from "./mnist.ts";

export interface LoadOptions {
  /** Folder of the data set's files, unless it is embedded. */
  readonly dataDir?: string | undefined;
  /** Base of a relative path in a data set's name, if it exists there; else the working folder is. */
  readonly baseDirectory?: string | undefined;
  /** Folder of decoded images; the user's own by default. */
  readonly cacheDirectory?: string | undefined;
  /** Called with the number of images decoded so far, when a folder of images is read for the first time. */
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
  readonly onWarning?: MessageSink | undefined;
}

type Load = (name: DatasetName, options: LoadOptions) => ImageDataset | Promise<ImageDataset>;
type Open = (name: DatasetName, options: LoadOptions) => StreamedDataset;

const NORMALIZATIONS = ["released", "per-channel"] as const;

/** `load` reads one into memory, `open` streams it. */
const LOADERS: Readonly<Record<DatasetKey, { readonly load: Load } | { readonly open: Open }>> = {
  mnist: { load: (_, { dataDir, onWarning }) => loadMnist({ dataDir, onWarning }) },
  cifar10: {
    load: (name, { dataDir }) => loadCifar(CIFAR_LAYOUTS.cifar10, { dataDir, ...normalizationOf(name) }),
  },
  cifar100: {
    load: (name, { dataDir }) =>
      loadCifar(CIFAR_LAYOUTS.cifar100, { dataDir, labels: labelsOf(name), ...normalizationOf(name) }),
  },
  folder: {
    load: (name, options) =>
      loadImageFolder(placeOf(requireArgument(name, "folder:PATH"), options), {
        ...options,
        ...normalizationOf(name),
        size: sizeOption(name, "size"),
        testFraction: fractionOption(name, "test"),
        seed: wholeOption(name, "seed", 0) ?? 0,
      }),
  },
  imagenet: { open: (name, { dataDir, onWarning }) => openImagenet(dataDir, geometryOf(name), onWarning) },
  synthetic: { load: (name) => syntheticDataset(syntheticOptions(name.argument)) },
};

/**
 * Reads a data set into memory.
 * @throws UsageError for an unknown name or option, DataError if its files are missing or damaged
 */
export async function loadDataset(text: string, options: LoadOptions = {}): Promise<ImageDataset> {
  const { name, key } = formOf(text);
  const loader = LOADERS[key];
  if ("load" in loader) return loader.load(name, options);
  throw new UsageError(`data set ${text}: it is streamed and cannot be kept in memory`);
}

/** Opens a streamed data set. @throws as `loadDataset` */
export function openDataset(text: string, options: LoadOptions = {}): StreamedDataset {
  const { name, key } = formOf(text);
  const loader = LOADERS[key];
  if ("open" in loader) return loader.open(name, options);
  throw new UsageError(`data set ${text}: it is kept in memory, not streamed`);
}

function requireArgument({ text, argument }: DatasetName, form: string): string {
  if (argument) return argument;
  throw new UsageError(`data set ${text}: write it as ${form}`);
}

function placeOf(path: string, { baseDirectory = "." }: LoadOptions): string {
  const place = resolve(baseDirectory, path);
  return existsSync(place) ? place : path;
}

function normalizationOf(name: DatasetName) {
  return { normalization: choiceOption(name, "normalization", NORMALIZATIONS) };
}
