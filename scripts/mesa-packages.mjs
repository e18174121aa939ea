// Unpacks Mesa from a newer suite of the distribution than the machine's own, without installing it. Its drivers need a newer C
// library than the system's, so that library and its dynamic loader are unpacked too.
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { downloadPackages } from "./apt-download.mjs";
import { systemArchive } from "./apt-sources.mjs";
import { run, SetupError } from "./command.mjs";
import { neededLibraries, removeSearchPath } from "./elf.mjs";

/** The dynamic loader, in the folder of the libraries. */
export const LOADER = "ld-linux-x86-64.so.2";
// The suite to use of a distribution's archive: the first with Mesa 26. Other distributions use their own suite.
const SUITES = /** @type {Record<string, string | undefined>} */ ({ debian: "forky", ubuntu: "resolute" });
const COMPONENTS = /** @type {Record<string, string | undefined>} */ ({ ubuntu: "main universe" });
const LIBRARY_FOLDERS = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib64", "lib64"];

/**
 * @param {string} what name of what is to be installed, as the subject of a sentence
 * @throws {SetupError} on a system that has no such packages
 */
export function requireLinux(what) {
  if (process.platform === "linux" && process.arch === "x64") return;
  throw new SetupError(`${what} only on x86-64 Linux, but this is ${process.arch} ${process.platform}`);
}

/**
 * An empty folder for work under .cache/ of the checkout. Removes what an interrupted call left there.
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
 * Downloads and unpacks packages of the newer suite with all dependencies, and those in `alone` without.
 *
 * @param {{ packages: string[], alone?: string[] }} what
 * @param {string} work a folder to work in
 * @param {AbortSignal} signal
 * @returns {Promise<{ unpacked: string, suite: string, mesa: string }>} the folder, the suite, and Mesa's version
 * @throws {SetupError} if the archive does not have them
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
    // Libraries that are not in the packages are the system's own, e.g. one that node needs.
    if (place === undefined) continue;
    const library = join(folder, name);
    copyFileSync(realpathSync(join(unpacked, place, name)), library);
    chmodSync(library, 0o755);
    for (const needed of neededLibraries(library) ?? []) wanted.add(needed);
    removeSearchPath(library);
  }
}

/**
 * A driver's manifest for the Vulkan loader, with a path relative to the manifest. Source: the loader's driver interface.
 * @param {string} driver file in lib/ beside the manifest
 */
export function driverManifest(driver) {
  const manifest = {
    file_format_version: "1.0.1",
    ICD: { library_path: `./lib/${driver}`, api_version: "1.4.0" },
  };
  return `${JSON.stringify(manifest)}\n`;
}
