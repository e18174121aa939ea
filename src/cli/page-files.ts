/** The files of a page of src/web, built in the package or by vite in a checkout, and the routes to them. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DataError, messageOf } from "../support/errors.ts";

/** Contents by path relative to the page, with / between folders. */
export type SiteFiles = ReadonlyMap<string, Uint8Array<ArrayBuffer>>;

/** In a checkout. */
const BUILDER = fileURLToPath(new URL("../../scripts/build-page.mjs", import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".gz": "application/gzip",
};

export function contentType(path: string): string {
  return TYPES[extname(path)] ?? "application/octet-stream";
}

/** @throws DataError if there is neither a built page nor the means to build one */
export async function pageFiles(name: "playground" | "watch"): Promise<SiteFiles> {
  // In the package: dist/NAME, beside dist/cli.
  const built = fileURLToPath(new URL(`../${name}/`, import.meta.url));
  if (readdirIfAny(built).some((file) => file.endsWith(".html"))) return filesIn(built);
  if (!existsSync(BUILDER))
    throw new DataError(`${built}: the page of ${name} is missing; install ghostbatch again`);
  const folder = await mkdtemp(join(tmpdir(), `ghostbatch-${name}-`));
  try {
    await promisify(execFile)(process.execPath, [BUILDER, name, folder]);
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

function readdirIfAny(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
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
