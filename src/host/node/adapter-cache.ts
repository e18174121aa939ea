/** Measurements of an adapter, in files of the cache directory, valid for one adapter, driver and version of the program. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname } from "node:path";
import type { AdapterFacts } from "../../gpu/adapter.ts";
import { writeFileAtomically } from "../../storage/atomic-file.ts";
import { makeFolder } from "../../storage/folder.ts";

/** The adapter's description contains the driver's version; kernels change with the program, compilers with webgpu. */
export function adapterKey({ name, vendor, architecture }: AdapterFacts): string {
  const require = createRequire(import.meta.url);
  const versionOf = (path: string) => (require(path) as { version: string }).version;
  const versions = [versionOf("../../../package.json"), versionOf("webgpu/package.json")];
  return [name, vendor, architecture, ...versions].join(" / ");
}

/** The object in a JSON file; an empty one if the file is missing or damaged. */
export function readObject(path: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(readFileSync(path, "utf8"));
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}

/** @throws DataError if it cannot be written */
export async function writeObject(path: string, value: object): Promise<void> {
  await makeFolder(dirname(path));
  await writeFileAtomically(path, JSON.stringify(value, null, 2));
}
