// Files of npm packages that this program depends on, e.g. a font, or a library's build for browsers.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { DataError } from "../support/errors.ts";

/** The path of a package's file. @throws DataError if the package is not installed or has no such file */
export function packageFile(name: string, file: string): string {
  const paths = createRequire(import.meta.url).resolve.paths(name) ?? [];
  const found = paths.map((path) => join(path, name, file)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new DataError(
    `${join("node_modules", name, file)}: not installed: run \`npm run setup\` in a checkout, or \`npm install\` where ghostbatch is a package (searched from ${dirname(paths[0] ?? ".")})`,
  );
}

export function readPackageFile(name: string, file: string): Promise<string> {
  return readFile(packageFile(name, file), "utf8");
}
