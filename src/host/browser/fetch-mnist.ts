/** MNIST for a page: one compressed file, fetched from the page's own origin and checked. */
import type { ImageDataset } from "../../data/dataset.ts";
import { PACKED_SHA256, unpackMnist } from "../../data/mnist-pack.ts";
import { DataError, messageOf } from "../../support/errors.ts";

/** @throws DataError for a file that is missing or has the wrong checksum */
export async function fetchMnist(url: string): Promise<ImageDataset> {
  const bytes = await unpacked(await fetched(url), url);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const found = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (found !== PACKED_SHA256)
    throw new DataError(
      `${url}: not the images of this page: expected SHA-256 ${PACKED_SHA256}, found ${found}`,
    );
  return unpackMnist(bytes, url);
}

async function fetched(url: string): Promise<Uint8Array<ArrayBuffer>> {
  let response: Response;
  try {
    response = await fetch(url);
  } catch (cause) {
    throw new DataError(`${url}: cannot be fetched: ${messageOf(cause)}`, { cause });
  }
  if (!response.ok) throw new DataError(`${url}: cannot be fetched: the server answers ${response.status}`);
  return new Uint8Array(await response.arrayBuffer());
}

/** Some servers declare a .gz file as gzip-encoded, and the browser has then already decompressed it. */
async function unpacked(bytes: Uint8Array<ArrayBuffer>, url: string): Promise<Uint8Array<ArrayBuffer>> {
  const isGzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (!isGzip) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch (cause) {
    throw new DataError(`${url}: damaged: ${messageOf(cause)}`, { cause });
  }
}
