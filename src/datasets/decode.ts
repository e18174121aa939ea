/**
 * Image files to bytes, by sharp (libvips), which decodes on threads of its own: the caller's thread stays free. As many
 * images are decoded at a time as libuv has threads: 4, or what the environment variable UV_THREADPOOL_SIZE says when the
 * process starts.
 *
 * Whatever a file holds becomes 8-bit sRGB: grey is repeated in the three channels, palettes are looked up, 16-bit values
 * keep their upper 8 bits, colours go through the file's colour profile (CMYK through a general one where it has none),
 * and an alpha channel is dropped, not blended, as torchvision's ImageFolder does. The orientation that a camera noted is
 * ignored, as there.
 */
import type SharpFactory from "sharp";
import { DataError, messageOf } from "../support/errors.ts";
import { imageDamage } from "./image-damage.ts";

/** Images under way at a time: enough to keep libuv's threads busy while this thread takes in what is done. */
export const DECODES_UNDER_WAY = 16;

/** Of one image: more than any of ImageNet has. What a damaged header asks for beyond it is not allocated. */
const MOST_PIXELS = 2 ** 26;

export interface Pixels {
  readonly height: number;
  readonly width: number;
  /** [height, width, 3] */
  readonly bytes: Uint8Array;
}

/** What becomes of an image's size; null leaves it. */
export type Resize =
  /** Scaled until it covers the size, the middle kept. */
  | { readonly kind: "cover"; readonly height: number; readonly width: number }
  /** Scaled until the shorter side has so many pixels. */
  | { readonly kind: "short-side"; readonly pixels: number }
  | null;

export type Decode = (path: string, resize: Resize) => Promise<Pixels>;

/**
 * Sharp, set up once in a process: the settings are those of libvips as a whole, and an image that another caller is
 * decoding while all readers are blocked would be refused.
 */
let configured: Promise<typeof SharpFactory> | null = null;

/** @throws DataError where sharp is not installed */
export async function openDecoder(): Promise<Decode> {
  configured ??= configuredSharp();
  const sharp = await configured;
  return (path, resize) => decode(sharp, path, resize);
}

async function configuredSharp(): Promise<typeof SharpFactory> {
  const sharp = await loadSharp();
  // Every file is read once: a cache of operations would only take memory. One thread an image, many images at a time.
  sharp.cache(false);
  sharp.concurrency(1);
  // Whatever a file's name says, only JPEG and PNG are read; asking the other readers takes a fifth of a small image's time.
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({ operation: ["VipsForeignLoadJpeg", "VipsForeignLoadPng"] });
  return sharp;
}

async function decode(sharp: typeof SharpFactory, path: string, resize: Resize): Promise<Pixels> {
  try {
    // "error" refuses truncated files; data that the decoder can mend, as in some of ImageNet's, are taken.
    let image = sharp(path, { failOn: "error", limitInputPixels: MOST_PIXELS });
    // The triangle filter, scaled to the reduction: the bilinear one of PIL, which the paper's code resizes with.
    const kernel = "linear";
    if (resize?.kind === "cover") image = image.resize(resize.width, resize.height, { fit: "cover", kernel });
    if (resize?.kind === "short-side") {
      image = image.resize(resize.pixels, resize.pixels, { fit: "outside", kernel });
    }
    const { data, info } = await image
      .removeAlpha()
      .raw({ depth: "uchar" })
      .toBuffer({ resolveWithObject: true });
    if (info.channels !== 3) throw new Error(`it has ${info.channels} channels after conversion, not 3`);
    return { height: info.height, width: info.width, bytes: data };
  } catch (cause) {
    const reason = imageDamage(path) ?? messageOf(cause).split("\n", 1)[0];
    throw new DataError(`${path}: cannot be decoded as an image: ${reason}`, { cause });
  }
}

export interface Crop {
  readonly height: number;
  readonly width: number;
  /** First row and column that are kept. */
  readonly top: number;
  readonly left: number;
  /** Mirrored left to right after cropping. */
  readonly mirrored: boolean;
}

/**
 * A part of an image as a data set keeps it.
 * @param target [3, crop.height, crop.width] from `offset` on, written
 */
export function writePlanar({ bytes, width }: Pixels, crop: Crop, target: Uint8Array, offset = 0): void {
  const plane = crop.height * crop.width;
  const first = crop.mirrored ? crop.width - 1 : 0;
  const direction = crop.mirrored ? -1 : 1;
  for (let y = 0; y < crop.height; y++) {
    let from = 3 * ((crop.top + y) * width + crop.left);
    let to = offset + y * crop.width + first;
    for (let x = 0; x < crop.width; x++, from += 3, to += direction) {
      target[to] = bytes[from];
      target[to + plane] = bytes[from + 1];
      target[to + 2 * plane] = bytes[from + 2];
    }
  }
}

async function loadSharp(): Promise<typeof SharpFactory> {
  try {
    return (await import("sharp")).default;
  } catch (cause) {
    throw new DataError(
      `decoding images needs the optional npm package sharp, which is not installed or does not work on this system: npm install sharp (${messageOf(cause)})`,
      { cause },
    );
  }
}
