/** A folder of images, one sub-folder per class, as a data set in memory. */

import { basename, join, resolve } from "node:path";
import {
  channelStatistics,
  type DatasetFacts,
  IMAGENET_NORMALIZATION,
  type ImageDataset,
  type Split,
} from "../data/dataset.ts";
import { forEachConcurrent } from "../support/concurrent.ts";
import { DataError, messageOf } from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";
import type { MessageSink } from "../support/messages.ts";
import { type ClassFolderOptions, type ImageFiles, listClassFolders } from "./class-folders.ts";
import { DECODES_UNDER_WAY, openDecoder, type Pixels, writePlanar } from "./decode.ts";
import { cacheKey, type DecodedImages, readCache, writeCache } from "./image-cache.ts";

/** A split must fit one GPU binding; few adapters bind more. */
const MAXIMUM_BYTES = 4 * 2 ** 30;

export interface ImageFolderOptions extends ClassFolderOptions {
  /** Size to which every image is scaled and cropped; without it, all must have the same size. */
  readonly size?: { readonly height: number; readonly width: number } | null;
  /** ImageNet's constants, as the paper's released code for CIFAR (default), or mean and deviation of these training images. */
  readonly normalization?: "released" | "per-channel";
  /** Folder of decoded images; the user's own by default. */
  readonly cacheDirectory?: string | undefined;
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
  readonly onWarning?: MessageSink | undefined;
}

/**
 * Reads a folder with train/CLASS/ and test/CLASS/ (or val/CLASS/), or only CLASS/ and the option `testFraction`. The
 * images are decoded the first time and then come from the cache. Augmentation is CIFAR's, with padding in proportion to
 * its 4 pixels around 32.
 * @throws DataError naming the file or folder that is missing, empty, not an image, or of another size than the others;
 *   UsageError when the options do not fit the folder
 */
export async function loadImageFolder(root: string, options: ImageFolderOptions = {}): Promise<ImageDataset> {
  const { classNames, train, test } = listClassFolders(root, options);
  // Cached in sorted order, so that another division of the same images finds them in the cache.
  const names = [...train.names, ...test.names].sort();
  const decoded = await decodedImages(root, names, options);
  const { height, width } = decoded;
  const facts: DatasetFacts = {
    name: `folder-${basename(resolve(root)).replaceAll(/[^\w.-]+/g, "-")}`,
    classes: classNames.length,
    channels: 3,
    height,
    width,
    classNames,
    normalization: IMAGENET_NORMALIZATION,
    augmentation: { padding: Math.round(Math.min(height, width) / 8), padValue: 127, flip: true },
  };
  const positions = new Map(names.map((name, position) => [name, position]));
  const dataset = {
    ...facts,
    train: splitOf(train, positions, decoded),
    test: splitOf(test, positions, decoded),
  };
  if (options.normalization !== "per-channel") return dataset;
  return { ...dataset, normalization: channelStatistics(dataset.train.images, facts) };
}

/** A view of the images if they are contiguous, as those of train/ and test/ are; else a copy. */
function splitOf(
  { names, labels }: ImageFiles,
  positions: ReadonlyMap<string, number>,
  { height, width, images }: DecodedImages,
): Split {
  const size = 3 * height * width;
  const places = names.map((name) => positions.get(name)!);
  const count = names.length;
  const together = places.every((place, i) => place === places[0] + i);
  if (together)
    return { count, images: images.subarray(places[0] * size, (places[0] + count) * size), labels };
  const own = new Uint8Array(count * size);
  for (const [to, from] of places.entries()) {
    own.set(images.subarray(from * size, (from + 1) * size), to * size);
  }
  return { count, images: own, labels };
}

async function decodedImages(
  root: string,
  names: readonly string[],
  options: ImageFolderOptions,
): Promise<DecodedImages> {
  const { size = null, cacheDirectory, onWarning } = options;
  const key = cacheKey(
    { root, names, size: size ? `${size.height}x${size.width}` : "as they are" },
    cacheDirectory,
  );
  const cached = await readCache(key, names.length);
  if (cached) return cached;
  const decoded = await decodeAll(root, names, options);
  try {
    await writeCache(key, decoded);
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    onWarning?.(`cannot cache the decoded images; the next start decodes them again: ${messageOf(error)}`);
  }
  return decoded;
}

async function decodeAll(
  root: string,
  names: readonly string[],
  { size = null, onProgress }: ImageFolderOptions,
): Promise<DecodedImages> {
  const decode = await openDecoder();
  const resize = size && { kind: "cover" as const, ...size };
  const paths = names.map((name) => join(root, name));
  if (size) requireFit(root, names.length, size);
  const first = await decode(paths[0], resize);
  const { height, width } = first;
  const imageBytes = 3 * height * width;
  requireFit(root, names.length, first);
  const images = new Uint8Array(names.length * imageBytes);
  const whole = { height, width, top: 0, left: 0, mirrored: false };
  let done = 0;
  await forEachConcurrent(names.length, DECODES_UNDER_WAY, async (index) => {
    const pixels = await decode(paths[index], resize);
    if (pixels.height !== height || pixels.width !== width) throw otherSize(paths, index, pixels, first);
    writePlanar(pixels, whole, images, index * imageBytes);
    onProgress?.({ done: ++done, total: names.length });
  });
  return { height, width, images };
}

function requireFit(root: string, count: number, { height, width }: Pick<Pixels, "height" | "width">): void {
  const bytes = count * 3 * height * width;
  if (bytes <= MAXIMUM_BYTES) return;
  throw new DataError(
    `${root}: ${count} images of ${height} × ${width} need ${formatBytes(bytes)}, more than the ${formatBytes(MAXIMUM_BYTES)} ` +
      `that can be kept in memory: choose a smaller size=, or stream them with --dataset imagenet --data-dir ${root}`,
  );
}

function otherSize(paths: readonly string[], index: number, found: Pixels, first: Pixels): DataError {
  const text = ({ height, width }: Pixels) => `${height} × ${width}`;
  return new DataError(
    `${paths[index]}: has ${text(found)} pixels (height × width), but ${paths[0]} has ${text(first)}: ` +
      `set the size to scale all images to, e.g. folder:PATH,size=${Math.min(first.height, first.width)}`,
  );
}
