import { DataError } from "../support/errors.ts";
import { permutation, STREAMS } from "../support/random.ts";
import { type ImageDataset, imageBytes, type Split } from "./dataset.ts";
import type { StreamedDataset, StreamedSplit } from "./streamed.ts";

export interface SubsetOptions {
  /** Training samples to keep; all by default. */
  readonly train?: number;
  /** Test samples to keep; all by default. */
  readonly test?: number;
  readonly seed: number;
}

/**
 * A smaller data set: the first `count` samples of each split, in a permutation that depends only on the seed, so a
 * smaller subset is a prefix of a larger one.
 * @throws DataError if a split has fewer samples than requested
 */
export function subset(dataset: ImageDataset, { train, test, seed }: SubsetOptions): ImageDataset {
  return {
    ...dataset,
    train: subsetOf(dataset, "train", train ?? dataset.train.count, seed),
    test: subsetOf(dataset, "test", test ?? dataset.test.count, seed),
  };
}

/** The same for a streamed data set; only the chosen samples are read. @throws DataError as `subset` */
export function streamedSubset(
  dataset: StreamedDataset,
  { train, test, seed }: SubsetOptions,
): StreamedDataset {
  const part = (name: "train" | "test", count: number): StreamedSplit => {
    const split = dataset[name];
    const chosen = chosenOf(dataset, name, count, seed);
    const placesOf = (samples: Uint32Array) => samples.map((sample) => chosen[sample]!);
    return {
      count,
      labels: Uint16Array.from(chosen, (place) => split.labels[place]!),
      open: async (options) => {
        const source = await split.open(options);
        return {
          count,
          get waitMs() {
            return source.waitMs;
          },
          announce: (epoch, samples) => source.announce(epoch, placesOf(samples)),
          next: (epoch, samples) => source.next(epoch, placesOf(samples)),
          close: () => source.close(),
        };
      },
    };
  };
  return {
    ...dataset,
    train: part("train", train ?? dataset.train.count),
    test: part("test", test ?? dataset.test.count),
  };
}

/** Indices of the kept samples, in order. */
function chosenOf(
  { name, ...dataset }: { readonly name: string } & Record<"train" | "test", { readonly count: number }>,
  part: "train" | "test",
  count: number,
  seed: number,
): Uint32Array {
  const there = dataset[part].count;
  if (!(Number.isInteger(count) && count >= 1 && count <= there)) {
    throw new DataError(`${name}: expected 1 to ${there} ${part} samples, got ${count}`);
  }
  // The two splits are permuted differently, so that equal sizes do not give equal indices.
  const key = { seed, stream: STREAMS.subset, epoch: part === "train" ? 0 : 1 };
  return permutation(there, key).subarray(0, count);
}

function subsetOf(dataset: ImageDataset, part: "train" | "test", count: number, seed: number): Split {
  const split = dataset[part];
  const chosen = chosenOf(dataset, part, count, seed);
  if (count === split.count) return split;
  const size = imageBytes(dataset);
  const images = new Uint8Array(count * size);
  const labels = split.labels.slice(0, count);
  for (const [to, from] of chosen.entries()) {
    images.set(split.images.subarray(from * size, (from + 1) * size), to * size);
    labels[to] = split.labels[from];
  }
  return { count, images, labels };
}
