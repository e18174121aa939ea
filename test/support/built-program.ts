// The command line as JavaScript, as the published package has it: it starts in a third of the processor time that tsx takes.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const BUILDS = join(ROOT, ".cache", "test-builds");
/** Hours after which a build that is not of the present sources is removed. */
const KEPT_HOURS = 1;

let program: string | undefined;

/** Path of a ghostbatch.mjs that runs the sources of src/ as they are; builds them where that has not been done. */
export function builtProgram(): string {
  program ??= join(buildFolder(), "bin", "ghostbatch.mjs");
  return program;
}

function buildFolder(): string {
  const folder = join(BUILDS, stateOfSources());
  if (existsSync(folder)) return folder;
  removeOldBuilds();
  // Several processes may build at once: each in its own place, and whoever is first gives the result.
  const made = `${folder}.${process.pid}`;
  mkdirSync(made, { recursive: true });
  const options = ["--noCheck", "--declaration", "false", "--outDir", join(made, "dist")];
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [compiler, "-p", join(ROOT, "tsconfig.build.json"), ...options]);
  for (const part of ["package.json", "bin"]) cpSync(join(ROOT, part), join(made, part), { recursive: true });
  for (const part of ["shaders", ".software-gpu"]) symlinkSync(join(ROOT, part), join(made, part), "dir");
  try {
    renameSync(made, folder);
  } catch (error) {
    rmSync(made, { recursive: true });
    if (!existsSync(folder)) throw error;
  }
  return folder;
}

/** Changes with every file that the build is made of. */
function stateOfSources(): string {
  const hash = createHash("sha256");
  const inside = (folder: string) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).map((path) => join(folder, path));
  const settings = ["package.json", "tsconfig.json", "tsconfig.build.json"];
  for (const file of [...inside("src"), ...inside("bin"), ...settings].sort()) {
    const { mtimeMs, size } = statSync(join(ROOT, file));
    hash.update(`${file} ${mtimeMs} ${size}\n`);
  }
  return hash.digest("hex").slice(0, 16);
}

function removeOldBuilds(): void {
  if (!existsSync(BUILDS)) return;
  for (const name of readdirSync(BUILDS)) {
    const path = join(BUILDS, name);
    const hours = (Date.now() - statSync(path).mtimeMs) / 3_600_000;
    if (hours > KEPT_HOURS) rmSync(path, { recursive: true, force: true });
  }
}
