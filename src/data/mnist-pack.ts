/**
 * A part of MNIST in one file, for hosts that fetch it: the idx files of training images, training labels, test images and test
 * labels, concatenated, and compressed by gzip for transfer.
 */
import { DataError } from "../support/errors.ts";
import type { ImageDataset } from "./dataset.ts";
import { type IdxArray, parseIdx } from "./idx.ts";
import { MNIST_FILES, MNIST_PARTS, type MnistPart, mnistDataset } from "./mnist-layout.ts";
import type { SubsetOptions } from "./subset.ts";

/** The images that the small scale of Table 1's row F1 uses: 1.5 MB instead of 11. */
export const PACKED_SUBSET = { train: 4096, test: 5000, seed: 0 } as const satisfies SubsetOptions;

/** SHA-256 of `packMnist` of that subset of the files in mnist-layout.ts, before compression. */
export const PACKED_SHA256 = "7f0f01c3a6c179c00acda9a4fa96c3c78a0c26eefab514daf81540f3f97aed8f";

/** idx files of bytes: 0, 0, the type 8, the number of dimensions; each size in four bytes, the highest first; the values. */
export function packMnist({ train, test, height, width }: ImageDataset): Uint8Array<ArrayBuffer> {
  const arrays: Record<MnistPart, { readonly shape: readonly number[]; readonly values: ArrayLike<number> }> =
    {
      trainImages: { shape: [train.count, height, width], values: train.images },
      trainLabels: { shape: [train.count], values: train.labels },
      testImages: { shape: [test.count, height, width], values: test.images },
      testLabels: { shape: [test.count], values: test.labels },
    };
  const headers = MNIST_PARTS.map((part) => {
    const { shape } = arrays[part];
    const sizes = shape.flatMap((size) => [size >>> 24, (size >>> 16) & 255, (size >>> 8) & 255, size & 255]);
    return [0, 0, 8, shape.length, ...sizes];
  });
  const total = MNIST_PARTS.reduce(
    (sum, part, i) => sum + headers[i]!.length + arrays[part].values.length,
    0,
  );
  const bytes = new Uint8Array(total);
  let offset = 0;
  for (const [i, part] of MNIST_PARTS.entries()) {
    for (const values of [headers[i]!, arrays[part].values]) {
      bytes.set(values, offset);
      offset += values.length;
    }
  }
  return bytes;
}

/**
 * The data set in a packed file. The caller compares its checksum.
 * @param path names the file in messages
 * @throws DataError for bytes that are not four idx files of a data set
 */
export function unpackMnist(bytes: Uint8Array, path: string): ImageDataset {
  const arrays: Partial<Record<MnistPart, IdxArray>> = {};
  const names: Partial<Record<MnistPart, string>> = {};
  let offset = 0;
  for (const part of MNIST_PARTS) {
    const { dimensions, name } = MNIST_FILES[part];
    const rest = bytes.subarray(offset);
    const length = idxLength(rest, dimensions);
    names[part] = `${path}, ${name} at byte ${offset}`;
    arrays[part] = parseIdx(rest.subarray(0, length), names[part], dimensions);
    offset += length;
  }
  if (offset !== bytes.length) {
    throw new DataError(`${path}: expected ${offset} bytes as its headers say, found ${bytes.length}`);
  }
  return mnistDataset(arrays as Record<MnistPart, IdxArray>, names as Record<MnistPart, string>);
}

/** Length of the first idx file in bytes, from its header; all of the bytes if they are shorter than a header. */
function idxLength(bytes: Uint8Array, dimensions: number): number {
  const header = 4 + 4 * dimensions;
  if (bytes.length < header) return bytes.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, header);
  const sizes = Array.from({ length: dimensions }, (_, i) => view.getUint32(4 + 4 * i));
  return header + sizes.reduce((product, size) => product * size, 1);
}
