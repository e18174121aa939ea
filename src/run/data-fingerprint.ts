import { createHash } from "node:crypto";
import type { ImageDataset } from "../data/dataset.ts";
import type { StreamedDataset } from "../data/streamed.ts";

/** Number of hashed pieces of the images, and bytes in each: enough to detect other data, and fast. */
const SAMPLES = 64;
const SAMPLE_BYTES = 16 * 1024;

/**
 * A hash that identifies a training set: of its labels, its size, and pieces of its images. A resumed run
 * must find the data it started with.
 */
export function dataFingerprint({ train, channels, height, width }: ImageDataset | StreamedDataset): string {
  const hash = createHash("sha256").update(JSON.stringify([train.count, channels, height, width]));
  const { labels } = train;
  hash.update(new Uint8Array(labels.buffer, labels.byteOffset, labels.byteLength));
  if (!("images" in train)) return hash.digest("hex").slice(0, 16); // streamed: the labels in the order of its files
  const { images } = train;
  const stride = Math.max(SAMPLE_BYTES, Math.ceil(images.length / SAMPLES));
  for (let at = 0; at < images.length; at += stride) hash.update(images.subarray(at, at + SAMPLE_BYTES));
  return hash.digest("hex").slice(0, 16);
}
