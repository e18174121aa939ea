// The shader compilers of real GPUs, for `ghostbatch bench static`: Mesa's drivers for AMD (RADV) and NVIDIA (NVK), with
// Mesa's replacements for the kernel drivers, in the folder .gpu-compilers of the checkout. Run as a program, this file installs
// them. Nothing outside the folder is changed, and no root is needed.
//
//   .gpu-compilers/lib/           the drivers, the replacements, every library that they and node need, the dynamic loader
//   .gpu-compilers/amd.json       manifest of the driver for the Vulkan loader; nvidia.json likewise
//   .gpu-compilers/layer/         the Vulkan layer of pipeline-statistics-layer.c, if there is a C compiler
//   .gpu-compilers/complete.json  written last: what the folder contains
import { cpSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { run, SetupError } from "./command.mjs";
import { withLock } from "./lock.mjs";
import { collectLibraries, driverManifest, requireLinux, unpackMesa, workFolder } from "./mesa-packages.mjs";

const ROOT = resolve(fileURLToPath(new URL("..", import.meta.url)));
const FOLDER = join(ROOT, ".gpu-compilers");
const LAYER_SOURCE = fileURLToPath(new URL("pipeline-statistics-layer.c", import.meta.url));
const LAYER_NAME = "VK_LAYER_GHOSTBATCH_pipeline_statistics";
// Raise this number when this file changes the contents of the folder.
const RECIPE = 1;
const DRIVERS = { amd: "libvulkan_radeon.so", nvidia: "libvulkan_nouveau.so" };
const STAND_INS = ["libamdgpu_noop_drm_shim.so", "libnouveau_noop_drm_shim.so"];
const PACKAGES = ["libvulkan1", "mesa-vulkan-drivers", "mesa-drm-shim"];
const HEADERS = ["libvulkan-dev"];
const C_COMPILERS = ["cc", "gcc", "clang"];

const interruption = new AbortController();
for (const signal of /** @type {const} */ (["SIGINT", "SIGTERM", "SIGHUP"])) {
  process.once(signal, () => {
    process.exitCode = 128 + constants.signals[signal];
    interruption.abort();
  });
}

try {
  const lock = join(ROOT, ".cache", "gpu-compilers.lock");
  const onWait = (/** @type {string} */ holder) =>
    say(`waiting for process ${holder}, which is installing them`);
  await withLock(lock, { signal: interruption.signal, onWait }, () => install(interruption.signal));
} catch (error) {
  if (interruption.signal.aborted) {
    say("interrupted; partial files are removed");
  } else if (error instanceof SetupError) {
    console.error([error.message, ...error.advice].join("; "));
    process.exitCode = 1;
  } else {
    throw error;
  }
}

/** @param {AbortSignal} signal */
async function install(signal) {
  requireLinux("the GPU compilers can be installed");
  const compiler = await findCompiler(signal);
  const stamp = readStamp();
  // If it was installed without a C compiler, it is installed again once there is one.
  if (stamp?.recipe === RECIPE && (stamp.nvidia || compiler === null)) return;
  const work = workFolder(ROOT, "gpu-compilers");
  const made = join(work, "made");
  try {
    say("fetching the compilers for AMD and NVIDIA GPUs (Mesa, about 150 MB) into .gpu-compilers/");
    const { unpacked, suite, mesa } = await unpackMesa({ packages: PACKAGES, alone: HEADERS }, work, signal);
    collectLibraries(
      ["libvulkan.so.1", ...Object.values(DRIVERS), ...STAND_INS],
      unpacked,
      join(made, "lib"),
    );
    for (const [vendor, driver] of Object.entries(DRIVERS)) {
      writeFileSync(join(made, `${vendor}.json`), driverManifest(driver));
    }
    if (compiler) await compileLayer(compiler, unpacked, join(made, "layer"), signal);
    else say("found no C compiler, which NVIDIA's part needs: only AMD's is installed");
    const text = JSON.stringify({ recipe: RECIPE, suite, mesa, nvidia: compiler !== null });
    writeFileSync(join(made, "complete.json"), `${text}\n`);
    rmSync(FOLDER, { recursive: true, force: true });
    renameSync(made, FOLDER);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** @param {AbortSignal} signal */
async function findCompiler(signal) {
  for (const name of C_COMPILERS) {
    const found = await run(name, ["--version"], { signal }).catch(() => null);
    if (found) return name;
  }
  return null;
}

/**
 * @param {string} compiler
 * @param {string} unpacked where the Vulkan headers are
 * @param {string} folder
 * @param {AbortSignal} signal
 */
async function compileLayer(compiler, unpacked, folder, signal) {
  mkdirSync(folder, { recursive: true });
  const library = "libpipeline_statistics.so";
  const headers = join(folder, "headers");
  cpSync(join(unpacked, "usr", "include"), headers, { recursive: true });
  const flags = ["-std=c11", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-Wall", "-Wextra"];
  await run(compiler, [...flags, "-I", headers, "-o", join(folder, library), LAYER_SOURCE], { signal });
  rmSync(headers, { recursive: true });
  // Source: the Vulkan loader's layer interface.
  const layer = {
    name: LAYER_NAME,
    type: "GLOBAL",
    library_path: `./${library}`,
    api_version: "1.3.0",
    implementation_version: "1",
    description: "writes a driver's statistics of compute pipelines to standard error",
  };
  writeFileSync(join(folder, "layer.json"), `${JSON.stringify({ file_format_version: "1.2.0", layer })}\n`);
}

/** @returns {{ recipe: number, nvidia: boolean } | null} */
function readStamp() {
  const file = join(FOLDER, "complete.json");
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : null;
}

/** @param {string} line */
function say(line) {
  console.log(line);
}
