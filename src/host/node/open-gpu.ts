/** Opens a Gpu in Node: the named adapter, else a hardware one, else the software one. */
import { adapterFacts, findAdapter, requestDevice } from "../../gpu/adapter.ts";
import { Gpu } from "../../gpu/gpu.ts";
import { env } from "../../support/env.ts";
import { DeviceError } from "../../support/errors.ts";
import { listAdapters, missingVulkanLoader, openDawn } from "./node-webgpu.ts";
import { pollPatiently } from "./patient-polling.ts";
import { shaderFiles } from "./shader-files.ts";
import {
  relaunchOnSoftwareGpu,
  runningOnSoftwareNode,
  softwareGpuAdvice,
  softwareNodePath,
} from "./software-gpu.ts";
import { tuningFor } from "./tuning-store.ts";
import { variantChoice } from "./variant-choice.ts";

const SOFTWARE_NAME = /^(software|llvmpipe|lavapipe)$/i;

export interface OpenGpuOptions {
  /** Part of an adapter's name, or "software"; by default the fastest hardware adapter, or software if there is none. */
  readonly adapter?: string | undefined;
  /**
   * Whether this process may restart its command line on the software GPU that `npm run setup` installed, and wait
   * for it, if it needs that one. A command line may; a program that has begun its work may not. Default false.
   */
  readonly relaunch?: boolean;
  /** Which tuned tiles to use: "off", or a file; by default those measured on the adapter (tuning-store.ts). */
  readonly tuning?: string | undefined;
}

/** @throws DeviceError if there is no such adapter, saying which exist and what to do */
export async function openGpu({
  adapter: wanted,
  relaunch = false,
  tuning,
}: OpenGpuOptions = {}): Promise<Gpu> {
  const elsewhere = !runningOnSoftwareNode() && softwareNodePath() !== null;
  if (isSoftware(wanted) && relaunch && elsewhere) return relaunchOnSoftwareGpu();
  const { adapter, cause } = await adapterNamed(wanted);
  if (adapter) {
    const facts = adapterFacts(adapter.info);
    if (facts.software) pollPatiently();
    const gpu = new Gpu(await requestDevice(adapter), facts, shaderFiles);
    gpu.tuning = tuningFor(facts, tuning);
    const { variant, reason } = variantChoice(gpu);
    gpu.variant = variant;
    if (env.debugLevel() >= 1) console.error(`device ${facts.name}, ${variant} kernels by ${reason}`);
    return gpu;
  }
  if (wanted === undefined && relaunch && elsewhere) return relaunchOnSoftwareGpu();
  throw new DeviceError(await noAdapter(wanted, elsewhere), { cause });
}

/** Checks that a command line's `openGpu` would find an adapter of this name. @throws DeviceError as it does */
export async function requireAdapter(wanted: string): Promise<void> {
  const elsewhere = !runningOnSoftwareNode() && softwareNodePath() !== null;
  if (isSoftware(wanted) && elsewhere) return;
  const { adapter, cause } = await adapterNamed(wanted);
  if (!adapter) throw new DeviceError(await noAdapter(wanted, elsewhere), { cause });
}

function isSoftware(wanted: string | undefined): boolean {
  return wanted !== undefined && SOFTWARE_NAME.test(wanted);
}

/** The adapter, or null with the reason. */
async function adapterNamed(
  wanted: string | undefined,
): Promise<{ adapter: GPUAdapter | null; cause?: unknown }> {
  const software = isSoftware(wanted);
  const missing = missingVulkanLoader();
  if (missing !== null) return { adapter: null, cause: new DeviceError(missing) };
  const root = await openDawn(wanted === undefined || software ? {} : { adapter: wanted });
  try {
    const adapter = await findAdapter(root);
    const other = adapter !== null && software && !adapterFacts(adapter.info).software;
    return { adapter: other ? null : adapter };
  } catch (cause) {
    return { adapter: null, cause };
  }
}

/** What exists instead, and what to do. */
async function noAdapter(wanted: string | undefined, elsewhere: boolean): Promise<string> {
  const there = (await listAdapters()).map(({ name, backend }) => `${name} (${backend})`);
  const listed = there.length > 0 ? there.join(", ") : "none";
  if (wanted !== undefined && isSoftware(wanted) && !elsewhere)
    return `no software adapter: ${softwareGpuAdvice()} (available: ${listed})`;
  if (wanted !== undefined) return `no adapter matches ${JSON.stringify(wanted)}; available: ${listed}`;
  const driver =
    missingVulkanLoader() === null
      ? "install a driver with Vulkan, Metal or D3D12"
      : "install the Vulkan loader (libvulkan.so.1, in Debian's package libvulkan1) and a GPU driver with Vulkan";
  return elsewhere
    ? `no GPU adapter in this process: run the program with the software GPU's node, ${softwareNodePath()}, or ${driver}`
    : `no GPU adapter: ${softwareGpuAdvice()}; or ${driver}`;
}
