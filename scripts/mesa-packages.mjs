// Mesa from a newer suite of the distribution than the machine's own, unpacked without installing it: drivers that need a
// newer C library than the system's, so with that library and the loader of programs that belongs to it.
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { downloadPackages } from "./apt-download.mjs";
import { systemArchive } from "./apt-sources.mjs";
import { run, SetupError } from "./command.mjs";
import { neededLibraries, removeSearchPath } from "./elf.mjs";

/** The loader of programs, in the folder of the libraries. */
export const LOADER = "ld-linux-x86-64.so.2";
// The suite taken from a distribution's archive: the first with Mesa 26. Others are asked for their own.
const SUITES = /** @type {Record<string, string | undefined>} */ ({ debian: "forky", ubuntu: "resolute" });
const COMPONENTS = /** @type {Record<string, string | undefined>} */ ({ ubuntu: "main universe" });
const LIBRARY_FOLDERS = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib64", "lib64"];

/**
 * @param {string} what is to be installed, as the subject of a sentence
 * @throws {SetupError} on a system that has no such packages
 */
export function requireLinux(what) {
  if (process.platform === "linux" && process.arch === "x64") return;
  throw new SetupError(`${what} only on x86-64 Linux, but this is ${process.arch} ${process.platform}`);
}

/**
 * An empty folder for work under .cache/ of the checkout. What an interrupted call left there is removed.
 * @param {string} root the checkout
 * @param {string} name
 */
export function workFolder(root, name) {
  const cache = join(root, ".cache");
  mkdirSync(cache, { recursive: true });
  for (const left of readdirSync(cache).filter((entry) => entry.startsWith(`${name}-`))) {
    rmSync(join(cache, left), { recursive: true, maxRetries: 5 });
  }
  const work = join(cache, `${name}-${process.pid}`);
  mkdirSync(work);
  return work;
}

/**
 * Downloads and unpacks packages of the newer suite with all that they depend on, and `alone` without.
 *
 * @param {{ packages: string[], alone?: string[] }} what
 * @param {string} work a folder to work in
 * @param {AbortSignal} signal
 * @returns {Promise<{ unpacked: string, suite: string, mesa: string }>} the folder, where from, and Mesa's version
 * @throws {SetupError} where the archive does not have them
 */
export async function unpackMesa({ packages, alone = [] }, work, signal) {
  const { source, distribution, codename } = await systemArchive();
  const suite = SUITES[distribution] ?? codename;
  const from = { source, suite, components: COMPONENTS[distribution] ?? "main" };
  const archives = await downloadPackages({ packages, alone }, from, work, signal);
  const unpacked = join(work, "unpacked");
  for (const archive of archives) await run("dpkg-deb", ["--extract", archive, unpacked], { signal });
  const mesa = basename(archives.find((path) => basename(path).startsWith("mesa-vulkan-drivers_")) ?? "");
  return { unpacked, suite, mesa: decodeURIComponent(mesa.split("_")[1] ?? "") };
}

/**
 * Copies the named libraries, those that they need in turn, those of the running node and the loader into a folder.
 * @param {string[]} names
 * @param {string} unpacked
 * @param {string} folder
 */
export function collectLibraries(names, unpacked, folder) {
  mkdirSync(folder, { recursive: true });
  const wanted = new Set([...names, LOADER, ...(neededLibraries(process.execPath) ?? [])]);
  for (const name of wanted) {
    const place = LIBRARY_FOLDERS.find((path) => existsSync(join(unpacked, path, name)));
    // What the packages do not bring is the system's own, e.g. a library of node's.
    if (place === undefined) continue;
    const library = join(folder, name);
    copyFileSync(realpathSync(join(unpacked, place, name)), library);
    chmodSync(library, 0o755);
    for (const needed of neededLibraries(library) ?? []) wanted.add(needed);
    removeSearchPath(library);
  }
}

/**
 * What tells the Vulkan loader of a driver, by a path relative to the manifest's own. Source: the loader's driver interface.
 * @param {string} driver file in lib/ beside the manifest
 */
export function driverManifest(driver) {
  const manifest = {
    file_format_version: "1.0.1",
    ICD: { library_path: `./lib/${driver}`, api_version: "1.4.0" },
  };
  return `${JSON.stringify(manifest)}\n`;
}
