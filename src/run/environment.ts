import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { LoadOptions } from "../datasets/load.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { gitState } from "../storage/git.ts";
import type { RunEnvironment } from "../storage/run-folder.ts";

const ROOT = new URL("../../", import.meta.url);

/** Versions of this program, of Node and of the GPU library. */
export function versions(): Record<string, string> {
  const require = createRequire(import.meta.url);
  const versionIn = (path: string | URL) =>
    (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
  return {
    ghostbatch: versionIn(new URL("package.json", ROOT)),
    node: process.versions.node,
    webgpu: versionIn(require.resolve("webgpu/package.json")),
  };
}

/** A run's record of where it ran. */
export function environmentOf(
  gpu: Gpu,
  command: string,
  { dataDir }: Pick<LoadOptions, "dataDir"> = {},
): RunEnvironment {
  const { adapter, variant, tuning } = gpu;
  return {
    command,
    workingDirectory: process.cwd(),
    ...(dataDir !== undefined && { dataDirectory: resolve(dataDir) }),
    git: gitState(fileURLToPath(ROOT)),
    versions: versions(),
    adapter: { ...adapter, variant, tuning: tuning.choices },
  };
}
