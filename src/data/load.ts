/** The list of data sets: name to loader. */
import { UsageError } from "../support/errors.ts";
import type { ImageDataset } from "./dataset.ts";
import { loadMnist } from "./mnist.ts";
import { syntheticDataset } from "./synthetic.ts";

export interface LoadOptions {
  /** Folder of the data set's files, where it is not embedded. */
  readonly dataDir?: string | undefined;
}

const LOADERS: Readonly<Record<string, (options: LoadOptions) => ImageDataset | Promise<ImageDataset>>> = {
  mnist: ({ dataDir }) => loadMnist({ dataDir }),
  // The shape of MNIST, so that every model of it can be tried without data; the seed is arbitrary and fixed.
  synthetic: () =>
    syntheticDataset({ classes: 10, channels: 1, height: 28, width: 28, train: 8192, test: 2048, seed: 0 }),
};

export const DATASET_FORMS = Object.keys(LOADERS);

/** @throws UsageError for a name that is not in the list, DataError when its files are missing or damaged */
export async function loadDataset(name: string, options: LoadOptions = {}): Promise<ImageDataset> {
  const load = LOADERS[name];
  if (!load)
    throw new UsageError(
      `data set: there is no ${JSON.stringify(name)}; there are ${DATASET_FORMS.join(", ")}`,
    );
  return load(options);
}
