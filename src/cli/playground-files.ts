/** The files of the playground: the page, as the package has it built or as vite builds it in a checkout, and MNIST beside it. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { PACKED_SUBSET, packMnist } from "../data/mnist-pack.ts";
import { subset } from "../data/subset.ts";
import { loadMnist } from "../datasets/mnist.ts";
import { DataError, messageOf } from "../support/errors.ts";

/** Contents by path relative to the page, with / between folders. */
export type SiteFiles = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** In the package: dist/playground, beside dist/cli. */
const BUILT = fileURLToPath(new URL("../playground/", import.meta.url));
/** In a checkout. */
const BUILDER = fileURLToPath(new URL("../../scripts/build-playground.mjs", import.meta.url));

/** @throws DataError where neither a built page nor the means to build one are here */
export async function playgroundFiles(): Promise<SiteFiles> {
  const files = new Map(await pageFiles());
  const packed = packMnist(subset(loadMnist(), PACKED_SUBSET));
  files.set("mnist.gz", new Uint8Array(gzipSync(packed, { level: 9 })));
  return files;
}

async function pageFiles(): Promise<SiteFiles> {
  if (existsSync(join(BUILT, "index.html"))) return filesIn(BUILT);
  if (!existsSync(BUILDER))
    throw new DataError(`${BUILT}: the page of the playground is not built: install ghostbatch again`);
  const folder = await mkdtemp(join(tmpdir(), "ghostbatch-playground-"));
  try {
    await promisify(execFile)(process.execPath, [BUILDER, folder]);
    return filesIn(folder);
  } catch (cause) {
    const { stderr } = cause as { readonly stderr?: string };
    throw new DataError(`${BUILDER}: the page cannot be built: ${stderr?.trim() || messageOf(cause)}`, {
      cause,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function filesIn(folder: string): Map<string, Uint8Array<ArrayBuffer>> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  return new Map(
    entries.map(({ parentPath, name }) => {
      const path = join(parentPath, name);
      return [
        path.slice(folder.length).split(sep).filter(Boolean).join("/"),
        new Uint8Array(readFileSync(path)),
      ];
    }),
  );
}
