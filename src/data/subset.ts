import { DataError } from "../support/errors.ts";
import { permutation, STREAMS } from "../support/random.ts";
import { type ImageDataset, imageBytes, type Split } from "./dataset.ts";

export interface SubsetOptions {
  /** Training samples to keep; all without it. */
  readonly train?: number;
  /** Test samples to keep; all without it. */
  readonly test?: number;
  readonly seed: number;
}

/**
 * A smaller data set: of each split, the first `count` samples of a permutation that depends on the seed alone, so a
 * smaller subset is the beginning of a larger one.
 * @throws DataError when a split has fewer samples than asked for
 */
export function subset(dataset: ImageDataset, { train, test, seed }: SubsetOptions): ImageDataset {
  return {
    ...dataset,
    train: subsetOf(dataset, "train", train ?? dataset.train.count, seed),
    test: subsetOf(dataset, "test", test ?? dataset.test.count, seed),
  };
}

function subsetOf(dataset: ImageDataset, part: "train" | "test", count: number, seed: number): Split {
  const split = dataset[part];
  if (!(Number.isInteger(count) && count >= 1 && count <= split.count)) {
    throw new DataError(`${dataset.name}: expected 1 to ${split.count} ${part} samples, got ${count}`);
  }
  if (count === split.count) return split;
  // The two splits are permuted differently: equal sizes must not give equal positions.
  const key = { seed, stream: STREAMS.subset, epoch: part === "train" ? 0 : 1 };
  const chosen = permutation(split.count, key).subarray(0, count);
  const size = imageBytes(dataset);
  const images = new Uint8Array(count * size);
  const labels = split.labels.slice(0, count);
  for (const [to, from] of chosen.entries()) {
    images.set(split.images.subarray(from * size, (from + 1) * size), to * size);
    labels[to] = split.labels[from];
  }
  return { count, images, labels };
}
