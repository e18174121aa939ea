/**
 * Decoded images on disk, so that a folder of images is decoded only once. There is one file per folder and size. It records
 * the listing (names, sizes, modification times) it was made from, and a checksum; if either does not match, it is made
 * anew. It is a safetensors file with one tensor `images` [count, 3, height, width] of bytes.
 *
 * It is written under another name and renamed, so processes that decode the same folder at the same time do not interfere.
 */

import { createHash } from "node:crypto";
import { realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheDirectory } from "../storage/cache-directory.ts";
import { makeFolder } from "../storage/folder.ts";
import { removeAbandonedFiles } from "../storage/leftovers.ts";
import { openSafetensors, writeSafetensors } from "../storage/safetensors.ts";
import { DataError } from "../support/errors.ts";

/** Part of every key: changing how images are decoded invalidates older files. */
const FORMAT = "ghostbatch images 1";

export interface DecodedImages {
  readonly height: number;
  readonly width: number;
  /** [count, 3, height, width] */
  readonly images: Uint8Array;
}

export interface CacheKey {
  readonly path: string;
  /** SHA-256 of the listing from which the images were made. */
  readonly listing: string;
}

/**
 * @param root  the folder of images
 * @param names of its files
 * @param size  the size to which they are scaled, as text
 * @throws DataError for a file that no longer exists
 */
export function cacheKey(
  { root, names, size }: { root: string; names: readonly string[]; size: string },
  directory = cacheDirectory(),
): CacheKey {
  const folder = realpathSync(root);
  const identity = createHash("sha256")
    .update(JSON.stringify([FORMAT, folder, size]))
    .digest("hex");
  const listing = createHash("sha256").update(identity);
  for (const name of names) {
    const path = join(root, name);
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) throw new DataError(`${path}: no longer there, or a broken link`);
    listing.update(`${JSON.stringify(name)} ${stat.size} ${stat.mtimeMs}\n`);
  }
  return {
    path: join(directory, "images", `${identity.slice(0, 32)}.safetensors`),
    listing: listing.digest("hex"),
  };
}

/** The images in the cache, or null if they are missing, outdated or damaged. */
export async function readCache({ path, listing }: CacheKey, count: number): Promise<DecodedImages | null> {
  try {
    const file = await openSafetensors(path);
    try {
      const entry = file.tensors.get("images");
      const [n, channels, height, width] = entry?.shape ?? [];
      const fits =
        file.metadata.get("listing") === listing && entry?.dtype === "U8" && n === count && channels === 3;
      if (!fits) return null;
      const { data } = await file.read("images");
      const images = data as Uint8Array;
      return file.metadata.get("sha256") === sha256(images) ? { height, width, images } : null;
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof DataError) return null;
    throw error;
  }
}

/** @throws DataError if writing fails; an older file is then untouched */
export async function writeCache(
  { path, listing }: CacheKey,
  { height, width, images }: DecodedImages,
): Promise<void> {
  await makeFolder(dirname(path));
  await removeAbandonedFiles(dirname(path));
  const shape = [images.length / (3 * height * width), 3, height, width];
  await writeSafetensors(path, [["images", { shape, data: images }]], { listing, sha256: sha256(images) });
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
