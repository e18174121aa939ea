/**
 * Images that are too many for memory: decoded, resized and cropped in the background while the network trains, and
 * handed over batch by batch.
 *
 *   const source = await dataset.train.open({ seed, augment: true });
 *   source.announce(epoch, order);                                  // once an epoch: decoding starts
 *   const { images, labels, waitMs } = await source.next(epoch, order.subarray(first, first + n));
 *
 * Crop and mirror of a sample depend on (seed, epoch, sample) alone: not on batches, slabs, or what was announced.
 */
import { join } from "node:path";
import { UsageError } from "../support/errors.ts";
import { boundedInteger, pcg4d, STREAMS } from "../support/random.ts";
import type { ImageFiles } from "./class-folders.ts";
import type { DatasetFacts } from "./dataset.ts";
import {
  type Crop,
  DECODES_UNDER_WAY,
  type Decode,
  openDecoder,
  type Pixels,
  writePlanar,
} from "./decode.ts";

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
  readonly augment: boolean;
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

export interface StreamGeometry {
  /** Pixels of an image's shorter side after scaling. */
  readonly resize: number;
  /** Pixels of a side of the square that is cut out of it. */
  readonly crop: number;
}

/** A split of listed files. @throws UsageError for a crop that is larger than the image */
export function streamedSplit(files: ImageFiles, geometry: StreamGeometry): StreamedSplit {
  const { resize, crop } = geometry;
  if (crop > resize) {
    throw new UsageError(`a crop of ${crop} pixels does not fit into images whose shorter side is ${resize}`);
  }
  return {
    count: files.names.length,
    labels: files.labels,
    open: async (options) => new ImageStream(files, geometry, options, await openDecoder()),
  };
}

interface Started {
  readonly epoch: number;
  readonly sample: number;
  readonly image: Promise<Uint8Array>;
}

interface Announced {
  readonly epoch: number;
  readonly samples: Uint32Array;
  /** How many of them have been started. */
  position: number;
}

class ImageStream implements BatchSource {
  readonly count: number;
  readonly #files: ImageFiles;
  readonly #geometry: StreamGeometry;
  readonly #options: Required<StreamOptions>;
  readonly #decode: Decode;
  /** Announced and not started. */
  #announced: Announced[] = [];
  /** Started and not taken, at most `ahead`. */
  #started: Started[] = [];
  #underWay = 0;
  #waitMs = 0;

  constructor(files: ImageFiles, geometry: StreamGeometry, options: StreamOptions, decode: Decode) {
    this.count = files.names.length;
    this.#files = files;
    this.#geometry = geometry;
    this.#options = { ahead: 512, ...options };
    this.#decode = decode;
  }

  get waitMs(): number {
    return this.#waitMs;
  }

  announce(epoch: number, samples: Uint32Array): void {
    this.#announced.push({ epoch, samples: samples.slice(), position: 0 });
    this.#startMore();
  }

  async next(epoch: number, samples: Uint32Array): Promise<Batch> {
    const start = performance.now();
    const size = 3 * this.#geometry.crop ** 2;
    const images = new Uint8Array(samples.length * size);
    for (const [i, sample] of samples.entries()) {
      if (!this.#seek(epoch, sample)) {
        this.close();
        this.announce(epoch, samples.subarray(i));
      }
      const image = this.#started.shift()!.image;
      this.#startMore();
      images.set(await image, i * size);
    }
    const waitMs = performance.now() - start;
    this.#waitMs += waitMs;
    return { images, labels: Uint32Array.from(samples, (sample) => this.#files.labels[sample]), waitMs };
  }

  close(): void {
    this.#announced = [];
    this.#started = [];
  }

  /** Passes over what was announced before this sample. @returns whether it was announced; it is the head then */
  #seek(epoch: number, sample: number): boolean {
    const started = this.#started.findIndex((one) => one.epoch === epoch && one.sample === sample);
    if (started >= 0) {
      this.#started.splice(0, started);
      return true;
    }
    for (const [i, order] of this.#announced.entries()) {
      const position = order.epoch === epoch ? order.samples.indexOf(sample, order.position) : -1;
      if (position < 0) continue;
      this.#announced.splice(0, i);
      order.position = position;
      this.#started = [];
      return this.#startOne();
    }
    return false;
  }

  #startMore(): void {
    while (this.#underWay < DECODES_UNDER_WAY && this.#started.length < this.#options.ahead) {
      if (!this.#startOne()) return;
    }
  }

  /** @returns whether there was one to start */
  #startOne(): boolean {
    const [order] = this.#announced;
    if (order === undefined) return false;
    const sample = order.samples[order.position++];
    if (order.position >= order.samples.length) this.#announced.shift();
    if (sample === undefined) return this.#startOne();
    this.#underWay++;
    const image = this.#read(order.epoch, sample).finally(() => {
      this.#underWay--;
      this.#startMore();
    });
    // An image that fails is reported to whom takes it; one that nobody takes is nobody's concern.
    image.catch(() => undefined);
    this.#started.push({ epoch: order.epoch, sample, image });
    return true;
  }

  async #read(epoch: number, sample: number): Promise<Uint8Array> {
    const { resize, crop } = this.#geometry;
    const path = join(this.#files.root, this.#files.names[sample]);
    const pixels = await this.#decode(path, { kind: "short-side", pixels: resize });
    const image = new Uint8Array(3 * crop ** 2);
    writePlanar(pixels, this.#crop(pixels, epoch, sample), image);
    return image;
  }

  #crop({ height, width }: Pixels, epoch: number, sample: number): Crop {
    const { crop } = this.#geometry;
    const { seed, augment } = this.#options;
    const rows = height - crop;
    const columns = width - crop;
    const square = { height: crop, width: crop };
    if (!augment) return { ...square, top: rows >> 1, left: columns >> 1, mirrored: false };
    // The words have the meanings that shaders/batch/gather.wgsl gives them.
    const [x, y, z] = pcg4d(seed, STREAMS.augmentation, epoch, sample);
    return {
      ...square,
      top: boundedInteger(x, rows + 1),
      left: boundedInteger(y, columns + 1),
      mirrored: z >>> 31 === 1,
    };
  }
}
