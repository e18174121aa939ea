// The command line of a checkout as one JavaScript file: starting it takes a quarter of the processor time of translating
// each source file. It is always built from the current sources, and kept in .cache/program/.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const KEPT = join(ROOT, ".cache", "program");
/** Hours after which a program of older sources is removed; until then, a process that has just started may still read it. */
const KEPT_HOURS = 1;
/** Packages of pure JavaScript with many files, which are bundled. All others are loaded as they are: some have native code or data files. */
const INCLUDED_PACKAGES = /^(zod|hono|@hono\/node-server)(\/|$)/;

/** The programs that run from one file: the command line, and the MPI thread of a rank. */
const PROGRAMS = { "main.mjs": "src/cli/main.ts", "mpi-thread.mjs": "src/host/node/mpi/thread.ts" };

/**
 * Path of a program built from src/; builds all programs if that has not been done.
 * @param {keyof typeof PROGRAMS} name
 * @returns null if the folder of the checkout cannot be written
 */
export async function currentProgram(name = "main.mjs") {
  const folder = join(KEPT, stateOfSources());
  const program = join(folder, name);
  if (existsSync(program)) return program;
  // Several processes may build at once, each in its own folder; the first to finish provides the result.
  const made = `${folder}.${process.pid}`;
  try {
    removeOldPrograms();
    mkdirSync(made, { recursive: true });
  } catch {
    return null;
  }
  try {
    for (const [file, source] of Object.entries(PROGRAMS))
      await buildProgram(join(ROOT, source), join(made, file));
    renameSync(made, folder);
  } catch (error) {
    rmSync(made, { recursive: true, force: true });
    if (!existsSync(program)) throw error;
  }
  return program;
}

/**
 * Writes a program of the checkout as one JavaScript file.
 * @param {string} source path of its TypeScript
 * @param {string} outfile in the checkout, where its packages are found
 */
export async function buildProgram(source, outfile) {
  const esbuild = await import("esbuild");
  await esbuild.build({
    entryPoints: [source],
    outfile,
    bundle: true,
    platform: "node",
    target: `node${process.versions.node}`,
    format: "esm",
    sourcemap: "linked",
    sourcesContent: false,
    logLevel: "error",
    plugins: [{ name: "checkout", setup: asInCheckout }],
  });
}

/** @param {import("esbuild").PluginBuild} build */
function asInCheckout(build) {
  build.onResolve({ filter: /^[^./]/ }, ({ path, kind }) =>
    kind === "entry-point" || INCLUDED_PACKAGES.test(path) ? undefined : { path, external: true },
  );
  // Paths are relative to the source file, not to the program.
  build.onLoad({ filter: /[\\/]src[\\/].*\.ts$/ }, ({ path }) => ({
    contents: readFileSync(path, "utf8").replaceAll(
      "import.meta.url",
      JSON.stringify(pathToFileURL(path).href),
    ),
    loader: "ts",
  }));
}

/** A hash of every file that the program is built from and of the checkout's path, which the program contains. */
function stateOfSources() {
  const hash = createHash("sha256").update(`${ROOT} ${process.versions.node}\n`);
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" }).sort();
  const settings = ["package-lock.json", "tsconfig.json", "scripts/program.mjs"];
  for (const file of [...sources.map((path) => join("src", path)), ...settings]) {
    const { mtimeMs, size } = statSync(join(ROOT, file));
    hash.update(`${file} ${mtimeMs} ${size}\n`);
  }
  return hash.digest("hex").slice(0, 16);
}

function removeOldPrograms() {
  if (!existsSync(KEPT)) return;
  for (const name of readdirSync(KEPT)) {
    const path = join(KEPT, name);
    const hours = (Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0)) / 3_600_000;
    if (hours > KEPT_HOURS) rmSync(path, { recursive: true, force: true });
  }
}
