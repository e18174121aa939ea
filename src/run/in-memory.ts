import type { ImageDataset } from "../data/dataset.ts";
import type { StreamedDataset } from "../data/streamed.ts";
import { UsageError } from "../support/errors.ts";

/** @throws UsageError for a streamed data set, naming what needs all of it in memory */
export function inMemory(dataset: ImageDataset | StreamedDataset, what: string): ImageDataset {
  if ("images" in dataset.train) return dataset as ImageDataset;
  throw new UsageError(
    `${what} needs all images in memory, and ${dataset.name} is streamed; use a part of it, as folder:PATH,size=224`,
  );
}
