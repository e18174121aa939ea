/** Streamed splits of listed image files: decoded, resized and cropped in the background while the network trains. */
import { join } from "node:path";
import type { StreamGeometry } from "../data/imagenet-layout.ts";
import type { Batch, BatchSource, StreamedSplit, StreamOptions } from "../data/streamed.ts";
import { UsageError } from "../support/errors.ts";
import { boundedInteger, pcg4d, STREAMS } from "../support/random.ts";
import type { ImageFiles } from "./class-folders.ts";
import {
  type Crop,
  DECODES_UNDER_WAY,
  type Decode,
  openDecoder,
  type Pixels,
  writePlanar,
} from "./decode.ts";

/** A split of listed files. @throws UsageError for a crop that is larger than the image */
export function streamedSplit(files: ImageFiles, geometry: StreamGeometry): StreamedSplit {
  const { resize, crop } = geometry;
  if (crop > resize) {
    throw new UsageError(`a crop of ${crop} pixels does not fit in images whose shorter side is ${resize}`);
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
  /** How many have been started. */
  position: number;
}

class ImageStream implements BatchSource {
  readonly count: number;
  readonly #files: ImageFiles;
  readonly #geometry: StreamGeometry;
  readonly #options: Required<StreamOptions>;
  readonly #decode: Decode;
  /** Announced, not started. */
  #announced: Announced[] = [];
  /** Started, not taken; at most `ahead`. */
  #started: Started[] = [];
  #underWay = 0;
  #waitMs = 0;

  constructor(files: ImageFiles, geometry: StreamGeometry, options: StreamOptions, decode: Decode) {
    this.count = files.names.length;
    this.#files = files;
    this.#geometry = geometry;
    this.#options = { ahead: 512, mirroring: true, ...options };
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

  /** Skips samples announced before this one. @returns whether it was announced; if so, it is now the head */
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
    // A failure is reported to whoever takes the image; if nobody does, it does not matter.
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
    const { seed, augmentation, mirroring } = this.#options;
    const rows = height - crop;
    const columns = width - crop;
    const square = { height: crop, width: crop };
    if (!augmentation) return { ...square, top: rows >> 1, left: columns >> 1, mirrored: false };
    // The random words have the same meanings as in shaders/batch/gather.wgsl.
    const [x, y, z] = pcg4d(seed, STREAMS.augmentation, epoch, sample);
    return {
      ...square,
      top: boundedInteger(x, rows + 1),
      left: boundedInteger(y, columns + 1),
      mirrored: mirroring && z >>> 31 === 1,
    };
  }
}
