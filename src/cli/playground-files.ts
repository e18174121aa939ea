/** The files of the playground: the page, and MNIST beside it. */
import { gzipSync } from "node:zlib";
import { PACKED_SUBSET, packMnist } from "../data/mnist-pack.ts";
import { subset } from "../data/subset.ts";
import { loadMnist } from "../datasets/mnist.ts";
import { pageFiles, type SiteFiles } from "./page-files.ts";

/** @throws DataError if there is neither a built page nor the means to build one */
export async function playgroundFiles(): Promise<SiteFiles> {
  const files = new Map(await pageFiles("playground"));
  const packed = packMnist(subset(loadMnist(), PACKED_SUBSET));
  files.set("mnist.gz", new Uint8Array(gzipSync(packed, { level: 9 })));
  return files;
}
