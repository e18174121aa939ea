/**
 * A data set that is too large for memory, as the rest of the program sees it: a source of batches that are decoded while the
 * network trains.
 *
 *   const source = await dataset.train.open({ seed, augmentation: true });
 *   source.announce(epoch, order);                                  // once an epoch: decoding starts
 *   const { images, labels, waitMs } = await source.next(epoch, order.subarray(first, first + n));
 *
 * A sample's crop and mirroring depend only on (seed, epoch, sample), not on batches, slabs, or what was announced.
 */
import type { DatasetFacts } from "./dataset.ts";

/** A data set whose images are read during training. They are augmented when read, so batches need no augmentation. */
export interface StreamedDataset extends DatasetFacts {
  readonly train: StreamedSplit;
  readonly test: StreamedSplit;
}

export interface StreamedSplit {
  readonly count: number;
  /** [count] */
  readonly labels: Uint16Array;
  open(options: StreamOptions): Promise<BatchSource>;
}

export interface StreamOptions {
  readonly seed: number;
  /** Random crop and mirror; otherwise the middle of each image. */
  readonly augmentation: boolean;
  /** False: no mirror. True by default. */
  readonly mirroring?: boolean;
  /** How many images to decode ahead of those requested. Default 512, 77 MB at 224 × 224. */
  readonly ahead?: number;
}

export interface Batch {
  /** [n, channels, height, width], in the order of the requested samples. */
  readonly images: Uint8Array<ArrayBuffer>;
  /** [n] */
  readonly labels: Uint32Array<ArrayBuffer>;
  /** Time spent waiting for this batch, ms; near 0 if decoding keeps up. */
  readonly waitMs: number;
}

export interface BatchSource {
  /** Number of samples in the split. */
  readonly count: number;
  /** Time spent waiting for batches so far, ms. */
  readonly waitMs: number;
  /**
   * Announces samples that will be requested, in this order, after those announced before. Decoding starts at once and continues
   * as batches are taken.
   */
  announce(epoch: number, samples: Uint32Array): void;
  /**
   * The next samples. Samples announced before them but not requested are skipped. Samples that were not announced
   * can be requested too; the announcement is then forgotten. One call at a time.
   * @throws DataError naming the image that cannot be decoded
   */
  next(epoch: number, samples: Uint32Array): Promise<Batch>;
  /** Stops decoding. */
  close(): void;
}
