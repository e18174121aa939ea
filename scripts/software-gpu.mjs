// A GPU computed by the CPU, for machines without one: Mesa's lavapipe, in the folder .software-gpu of the checkout.
// It comes from a newer suite of the distribution than the machine's own, since Dawn refuses Mesa 22 and subgroup
// matrices need Mesa 26. So it needs a newer C library, and a copy of node that starts with that library.
// Nothing outside the folder is changed, and no root is needed.
//
//   .software-gpu/lib/           lavapipe with every library that it and node need, and the dynamic loader
//   .software-gpu/lavapipe.json  its manifest for the Vulkan loader
//   .software-gpu/bin/node       starts bin/node.real, the copy of node, with that driver
//   .software-gpu/complete.json  written last: what the folder contains, for which node and which path
import { chmodSync, copyFileSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { probeAdapter } from "./adapter.mjs";
import { SetupError } from "./command.mjs";
import { setLoader } from "./elf.mjs";
import {
  collectLibraries,
  driverManifest,
  LOADER,
  requireLinux,
  unpackMesa,
  workFolder,
} from "./mesa-packages.mjs";

// Raise this number when this file changes the contents of the folder.
const RECIPE = 1;
const PACKAGES = ["libvulkan1", "mesa-vulkan-drivers"];
const DRIVER = "libvulkan_lvp.so";

/**
 * The node that runs on the software GPU, or null if it is not installed, was moved, or is for another version.
 * @param {string} root the checkout
 */
export function softwareNode(root) {
  const folder = softwareFolder(root);
  const stamp = readStamp(folder);
  const fits = stamp?.recipe === RECIPE && stamp.folder === folder && stamp.node === process.version;
  return fits ? join(folder, "bin", "node") : null;
}

/**
 * Installs it, or adapts an existing one to this version of node and this path.
 *
 * @param {string} root
 * @param {{ signal: AbortSignal, say: (line: string) => void }} context
 * @throws {SetupError} if that cannot work, with what to install instead
 */
export async function installSoftwareGpu(root, { signal, say }) {
  const folder = softwareFolder(root);
  const stamp = readStamp(folder);
  if (stamp?.recipe === RECIPE) {
    installNode(folder, folder);
    writeStamp(folder, { ...stamp, folder, node: process.version });
    return;
  }
  try {
    requireLinux("a software GPU can be installed");
    await installAnew(root, folder, { signal, say });
  } catch (error) {
    if (error instanceof SetupError) throw new SetupError(error.message, [...error.advice, ...advice()]);
    throw error;
  }
}

/**
 * @param {string} root
 * @param {string} folder
 * @param {{ signal: AbortSignal, say: (line: string) => void }} context
 */
async function installAnew(root, folder, { signal, say }) {
  const work = workFolder(root, "software-gpu");
  const made = join(work, "made");
  try {
    say("no usable GPU here: fetching a software GPU (Mesa lavapipe, about 150 MB) into .software-gpu/");
    const { unpacked, suite, mesa } = await unpackMesa({ packages: PACKAGES }, work, signal);
    collectLibraries([DRIVER, "libvulkan.so.1"], unpacked, join(made, "lib"));
    writeFileSync(join(made, "lavapipe.json"), driverManifest(DRIVER));
    installNode(made, folder);
    await prove(made);
    writeStamp(made, { recipe: RECIPE, suite, mesa, folder, node: process.version });

    rmSync(folder, { recursive: true, force: true });
    renameSync(made, folder);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/**
 * Puts the copy of the running node into bin/ of `made`, which will be moved to `folder`.
 * @param {string} made
 * @param {string} folder
 */
function installNode(made, folder) {
  const bin = join(made, "bin");
  mkdirSync(bin, { recursive: true });
  const copy = join(bin, "node.new");
  copyFileSync(process.execPath, copy);
  chmodSync(copy, 0o755);
  setLoader(copy, join(folder, "lib", LOADER), "$ORIGIN/../lib");
  renameSync(copy, join(bin, "node.real"));

  // Layers that the system loads into every Vulkan program are built for the system's own C library and drivers.
  const settings = `VK_DRIVER_FILES=${quote(join(folder, "lavapipe.json"))} VK_LOADER_LAYERS_DISABLE='~implicit~'`;
  writeFileSync(copy, `#!/bin/sh\n${settings} exec ${quote(join(folder, "bin", "node.real"))} "$@"\n`, {
    mode: 0o755,
  });
  renameSync(copy, join(bin, "node"));
}

/**
 * Checks, before the folder is moved to its place, that a program in it gets the software adapter.
 * @param {string} made
 */
async function prove(made) {
  const lib = join(made, "lib");
  const command = [join(lib, LOADER), "--library-path", lib, join(made, "bin", "node.real")];
  const env = {
    ...process.env,
    VK_DRIVER_FILES: join(made, "lavapipe.json"),
    VK_LOADER_LAYERS_DISABLE: "~implicit~",
  };
  const { adapter, said } = await probeAdapter(command, env);
  if (!adapter)
    throw new SetupError("the software GPU was unpacked, but it offers no adapter", said.split("\n"));
}

/** What a user can do if nothing here works. */
function advice() {
  const lines = {
    linux: [
      "Install a Vulkan driver, then run this again:",
      "  a GPU: its vendor's driver with its Vulkan part, and the Vulkan loader (libvulkan1)",
      "  no GPU, Debian 13 or Ubuntu 24.04 and newer: sudo apt install libvulkan1 mesa-vulkan-drivers",
      "  no GPU, Debian 12: the same packages from bookworm-backports; its own Mesa 22 is too old",
      "  no GPU, Fedora: sudo dnf install vulkan-loader mesa-vulkan-drivers",
      "  no GPU, Arch: sudo pacman -S vulkan-icd-loader vulkan-swrast",
    ],
    darwin: ["WebGPU runs on Metal: use a Mac (or a virtual machine) with Metal, macOS 12 or newer."],
    win32: ["WebGPU runs on Direct3D 12: update Windows and the driver of the graphics card."],
  };
  return (
    lines[/** @type {keyof typeof lines} */ (process.platform)] ?? ["WebGPU has no driver for this system."]
  );
}

/**
 * @typedef {{ recipe: number, suite: string, mesa: string, folder: string, node: string }} Stamp
 *
 * @param {string} folder
 * @returns {Stamp | null}
 */
function readStamp(folder) {
  try {
    return JSON.parse(readFileSync(join(folder, "complete.json"), "utf8"));
  } catch {
    return null;
  }
}

/**
 * @param {string} folder
 * @param {Stamp} stamp
 */
function writeStamp(folder, stamp) {
  const file = join(folder, "complete.json");
  writeFileSync(`${file}.new`, `${JSON.stringify(stamp)}\n`);
  renameSync(`${file}.new`, file);
}

/** @param {string} root */
function softwareFolder(root) {
  return resolve(root, ".software-gpu");
}

/** @param {string} text */
function quote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
