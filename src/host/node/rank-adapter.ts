/**
 * Chooses a GPU of the machine for each rank. Dawn selects adapters only by name, so equal GPUs must be distinguished before it is
 * loaded:
 *
 * - the launcher shows each rank one GPU, as `srun --gpus-per-task=1` does, and there is nothing to choose;
 * - otherwise Mesa's device-select layer, which works with every Vulkan driver, shows the one that DRI_PRIME names by PCI
 *   address: `pci-0000_65_00_0!`; the exclamation mark hides all others (docs.mesa3d.org/envvars.html).
 */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, realpathSync } from "node:fs";
import { basename, join } from "node:path";
import { env } from "../../support/env.ts";

/** What is known about a rank's GPU. */
export interface RankGpu {
  /** PCI address, e.g. 0000:65:00.0; null if this process cannot tell. */
  readonly pci: string | null;
  /** How it was chosen, for `doctor`. */
  readonly by: string;
}

const LAYER = "VkLayer_MESA_device_select.json";
const LAYER_FOLDERS = [
  "usr/share/vulkan/implicit_layer.d",
  "etc/vulkan/implicit_layer.d",
  "usr/local/share/vulkan/implicit_layer.d",
];

/**
 * Chooses the GPU of a rank by its number on this machine. Call this before Dawn is loaded; it may set DRI_PRIME.
 * @param root root of the file system, for tests
 */
export function takeRankGpu(localRank: number | null, root = "/"): RankGpu {
  const gpus = usableGpus(root);
  if (gpus.length === 0) return { pci: null, by: "no GPU found in /sys or /proc" };
  if (gpus.length === 1) return { pci: gpus[0]!, by: "the only GPU of this rank" };
  const chosen = env.driPrime();
  if (chosen !== undefined) return { pci: addressIn(chosen, gpus), by: `DRI_PRIME=${chosen}` };
  if (localRank === null) return { pci: null, by: "the launcher does not number the ranks of a machine" };
  if (!LAYER_FOLDERS.some((folder) => existsSync(join(root, folder, LAYER))))
    return { pci: null, by: "Mesa's device-select layer is not installed" };
  const pci = gpus[localRank % gpus.length]!;
  env.setDriPrime(`pci-${pci.replaceAll(/[:.]/g, "_")}!`);
  return { pci, by: `local rank ${localRank}` };
}

/** PCI addresses of the GPUs that this process may open, in order; a batch system keeps it from opening others. */
export function usableGpus(root: string): string[] {
  const found = new Set<string>();
  for (const name of namesIn(join(root, "sys/class/drm"))) {
    if (!/^renderD\d+$/.test(name) || !opens(join(root, "dev/dri", name))) continue;
    const pci = basename(realPath(join(root, "sys/class/drm", name, "device")));
    if (ADDRESS.test(pci)) found.add(pci);
  }
  // NVIDIA's driver without its DRM module.
  for (const pci of namesIn(join(root, "proc/driver/nvidia/gpus"))) {
    const facts = textOf(join(root, "proc/driver/nvidia/gpus", pci, "information"));
    const minor = facts.match(/Device Minor:\s*(\d+)/)?.[1];
    if (ADDRESS.test(pci) && minor !== undefined && opens(join(root, `dev/nvidia${minor}`))) found.add(pci);
  }
  return [...found].sort();
}

/** Domain, bus, device and function. */
const ADDRESS = /^[0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/;

/** The GPU whose address a value of DRI_PRIME names. */
function addressIn(chosen: string, gpus: readonly string[]): string | null {
  return gpus.find((pci) => chosen.startsWith(`pci-${pci.replaceAll(/[:.]/g, "_")}`)) ?? null;
}

function opens(path: string): boolean {
  try {
    closeSync(openSync(path, "r"));
    return true;
  } catch {
    return false;
  }
}

function namesIn(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}

function realPath(path: string): string {
  return existsSync(path) ? realpathSync(path) : "";
}

function textOf(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}
