/**
 * The shader compilers of hardware GPUs that scripts/gpu-compilers.mjs installs into .gpu-compilers/ of a checkout, and how to
 * start a node in which WebGPU finds one of them: a driver without a GPU, which compiles but cannot run anything.
 */

import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { env } from "../../support/env.ts";
import { DeviceError } from "../../support/errors.ts";
import type { MessageSink } from "../../support/messages.ts";

const FOLDER = fileURLToPath(new URL("../../../.gpu-compilers", import.meta.url));
const INSTALLER = fileURLToPath(new URL("../../../scripts/gpu-compilers.mjs", import.meta.url));

export type Vendor = "amd" | "nvidia";

/** The vendors whose compilers are installed. */
export function installedCompilers(): readonly Vendor[] {
  const stamp = join(FOLDER, "complete.json");
  if (!existsSync(stamp)) return [];
  return JSON.parse(readFileSync(stamp, "utf8")).nvidia ? ["amd", "nvidia"] : ["amd"];
}

/**
 * Installs those available for this system, unless already installed.
 * @param say receives progress messages
 * @throws DeviceError if there are none for this system, saying why
 */
export async function installCompilers(say: MessageSink): Promise<void> {
  if (installedCompilers().length === 2) return;
  if (!existsSync(INSTALLER)) {
    throw new DeviceError(
      "the GPU compilers can only be installed in a checkout of ghostbatch, and this is the package; run it in a checkout",
    );
  }
  const child = spawn(process.execPath, [INSTALLER], { stdio: ["ignore", "pipe", "pipe"] });
  let errors = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => text.trimEnd().split("\n").forEach(say));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  if (code !== 0) {
    throw new DeviceError(`cannot install the GPU compilers: ${errors.trim().split("\n").at(-1)}`);
  }
}

export interface CompilerProcess {
  readonly program: string;
  /** Arguments before the script and its own. */
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** How to start node on the compiler of a chip. */
export function compilerProcess(vendor: Vendor, chip: string): CompilerProcess {
  const lib = join(FOLDER, "lib");
  const standIn = join(lib, `lib${vendor === "amd" ? "amdgpu" : "nouveau"}_noop_drm_shim.so`);
  // The stand-in is loaded only into node; programs of the system could not start with it.
  const args = ["--preload", standIn, "--library-path", lib, process.execPath];
  return {
    program: join(lib, "ld-linux-x86-64.so.2"),
    args,
    env: env.forChild({
      GHOSTBATCH_VARIANT: undefined,
      VK_DRIVER_FILES: join(FOLDER, `${vendor}.json`),
      VK_LOADER_LAYERS_DISABLE: "~implicit~",
      // A cached pipeline is not compiled, so the driver would print nothing about it.
      MESA_SHADER_CACHE_DISABLE: "1",
      ...(vendor === "amd"
        ? { AMDGPU_GPU_ID: chip, RADV_DEBUG: "nocache,cs,asm,shaderstats" }
        : {
            NOUVEAU_CHIPSET: chip,
            NVK_I_WANT_A_BROKEN_VULKAN_DRIVER: "1",
            VK_ADD_LAYER_PATH: join(FOLDER, "layer"),
            VK_INSTANCE_LAYERS: "VK_LAYER_GHOSTBATCH_pipeline_statistics",
          }),
    }),
  };
}
