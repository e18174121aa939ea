/**
 * What a data set that is too large for memory is to the rest of the program: a source of batches that are made while the
 * network trains.
 *
 *   const source = await dataset.train.open({ seed, augmentation: true });
 *   source.announce(epoch, order);                                  // once an epoch: decoding starts
 *   const { images, labels, waitMs } = await source.next(epoch, order.subarray(first, first + n));
 *
 * Crop and mirror of a sample depend on (seed, epoch, sample) alone: not on batches, slabs, or what was announced.
 */
import type { DatasetFacts } from "./dataset.ts";

/** A data set whose images are read while it is used. Its augmentation is done when they are: batches need none. */
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
  /** Images that are decoded, or being decoded, ahead of those asked for. Default 512: 77 MB of 224 × 224. */
  readonly ahead?: number;
}

export interface Batch {
  /** [n, channels, height, width], in the order of the samples asked for. */
  readonly images: Uint8Array<ArrayBuffer>;
  /** [n] */
  readonly labels: Uint32Array<ArrayBuffer>;
  /** Milliseconds that this batch was waited for; near 0 when decoding keeps up. */
  readonly waitMs: number;
}

export interface BatchSource {
  /** Samples of the split. */
  readonly count: number;
  /** Milliseconds that all batches so far were waited for. */
  readonly waitMs: number;
  /**
   * Says which samples will be asked for, in this order, after those announced before. Decoding starts at once, and goes
   * on as batches are taken.
   */
  announce(epoch: number, samples: Uint32Array): void;
  /**
   * The next samples. What was announced before them and not asked for is passed over; samples that were not announced
   * can be asked for too, and what was announced is then forgotten. One call at a time.
   * @throws DataError naming the image that does not decode
   */
  next(epoch: number, samples: Uint32Array): Promise<Batch>;
  /** Stops decoding. */
  close(): void;
}
