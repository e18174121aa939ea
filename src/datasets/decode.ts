/**
 * Decodes image files to bytes with sharp (libvips), which uses its own threads, so the caller's thread stays free. As many
 * images are decoded at a time as libuv has threads: 4, or the value of the environment variable UV_THREADPOOL_SIZE when
 * the process starts.
 *
 * All images become 8-bit sRGB: grey is repeated in the three channels, palettes are looked up, 16-bit values
 * keep their upper 8 bits, colors are converted with the file's color profile (CMYK with a general one if it has none),
 * and an alpha channel is dropped, not blended, as in torchvision's ImageFolder. The orientation that a camera recorded is
 * ignored, as it is there.
 */
import type SharpFactory from "sharp";
import { DataError, messageOf } from "../support/errors.ts";
import { imageDamage } from "./image-damage.ts";

/** Images in progress at a time: enough to keep libuv's threads busy while this thread collects results. */
export const DECODES_UNDER_WAY = 16;

/** The most pixels per image, more than any in ImageNet. Prevents a damaged header from allocating more. */
const MOST_PIXELS = 2 ** 26;

export interface Pixels {
  readonly height: number;
  readonly width: number;
  /** [height, width, 3] */
  readonly bytes: Uint8Array;
}

/** How to resize an image; null keeps its size. */
export type Resize =
  /** Scale it to cover the size, and keep the center. */
  | { readonly kind: "cover"; readonly height: number; readonly width: number }
  /** Scale the shorter side to this many pixels. */
  | { readonly kind: "short-side"; readonly pixels: number }
  | null;

export type Decode = (path: string, resize: Resize) => Promise<Pixels>;

/**
 * Sharp, set up once per process: its settings apply to all of libvips, and an image that another caller decodes
 * while all readers are blocked would be rejected.
 */
let configured: Promise<typeof SharpFactory> | null = null;

/** @throws DataError if sharp is not installed */
export async function openDecoder(): Promise<Decode> {
  configured ??= configuredSharp();
  const sharp = await configured;
  return (path, resize) => decode(sharp, path, resize);
}

async function configuredSharp(): Promise<typeof SharpFactory> {
  const sharp = await loadSharp();
  // Every file is read once, so a cache of operations would waste memory. One thread per image, many images at a time.
  sharp.cache(false);
  sharp.concurrency(1);
  // Only JPEG and PNG are read, whatever the file name; trying the other readers takes a fifth of a small image's time.
  sharp.block({ operation: ["VipsForeignLoad"] });
  sharp.unblock({ operation: ["VipsForeignLoadJpeg", "VipsForeignLoadPng"] });
  return sharp;
}

async function decode(sharp: typeof SharpFactory, path: string, resize: Resize): Promise<Pixels> {
  try {
    // "error" rejects truncated files; data that the decoder can repair, as in some of ImageNet's, are accepted.
    let image = sharp(path, { failOn: "error", limitInputPixels: MOST_PIXELS });
    // The triangle filter, scaled to the reduction. It is PIL's bilinear filter, which the paper's code uses.
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
  /** First row and column to keep. */
  readonly top: number;
  readonly left: number;
  /** Mirrored left to right after cropping. */
  readonly mirrored: boolean;
}

/**
 * Copies a part of an image, in the layout of a data set.
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
