// Dawn in Node: the `webgpu` package, kept alive for the life of the process.
import { DeviceError, messageOf } from "../../support/errors.ts";
import { withoutHarmlessLines } from "./library-lines.ts";

/** Dawn toggles to enable: subgroup matrices are experimental, and f16 on NVIDIA has a separate toggle. */
const ENABLED_TOGGLES = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
/** A toggle to disable: it rounds GPU timestamps to 65,536 ns, more than many kernels take. */
const DISABLED_TOGGLES = ["timestamp_quantization"];

// Dawn aborts the process, or leaves promises pending, if the object returned by create() is garbage-collected while
// a device is alive. (As a property of globalThis it would keep the process from exiting; here it does not.)
const opened: GPU[] = [];

export interface DawnOptions {
  /** Part of the name of the only adapter to offer, e.g. "llvmpipe"; `requestAdapter` rejects if there is none. */
  readonly adapter?: string;
  /** Names of further Dawn toggles to enable, e.g. "dump_shaders". Dawn ignores unknown names. */
  readonly toggles?: readonly string[];
}

/**
 * Opens WebGPU for the life of the process, and defines its globals (GPUBufferUsage and so on).
 * @throws DeviceError if Dawn has no build for this system
 */
export async function openDawn({ adapter, toggles = [] }: DawnOptions = {}): Promise<GPU> {
  const { create, globals } = await loadDawn();
  Object.assign(globalThis, globals);
  const gpu = create([
    `enable-dawn-features=${[...ENABLED_TOGGLES, ...toggles].join(",")}`,
    `disable-dawn-features=${DISABLED_TOGGLES.join(",")}`,
    ...(adapter === undefined ? [] : [`adapter=${adapter}`]),
  ]);
  opened.push(gpu);
  const requestAdapter = gpu.requestAdapter.bind(gpu);
  gpu.requestAdapter = (options) => withoutHarmlessLines(() => requestAdapter(options));
  return gpu;
}

/** An adapter as Dawn lists it: `name` is what `DawnOptions.adapter` matches. */
export interface ListedAdapter {
  readonly backend: string;
  readonly name: string;
}

/** All adapters of this machine; none if there is no driver. */
export async function listAdapters(): Promise<ListedAdapter[]> {
  if (missingVulkanLoader() !== null) return [];
  // Dawn lists them only in its error for a name that no adapter has.
  const gpu = await openDawn({ adapter: "?" });
  const message = await gpu.requestAdapter().then(String, messageOf);
  return [...message.matchAll(/backend: '([^']*)', name: '([^']*)'/g)].map(([, backend, name]) => ({
    backend,
    name,
  }));
}

/** The library through which Dawn reaches every driver on Linux. */
const VULKAN_LOADER = "libvulkan.so.1";

/**
 * Why Dawn would find no adapter at all: on Linux, the system's error if the Vulkan loader cannot be loaded. Otherwise null.
 * Checked before loading Dawn, which takes longer and prints to standard error.
 */
export function missingVulkanLoader(file = VULKAN_LOADER): string | null {
  if (process.platform !== "linux") return null;
  try {
    process.dlopen({ exports: {} }, file);
  } catch (error) {
    // Node loads any library, and only then rejects one that is not a Node module.
    const message = messageOf(error);
    return /did not self-register/.test(message) ? null : message;
  }
  return null;
}

// A shared library of 40 MB: loaded only when a GPU is needed, not for --help.
async function loadDawn(): Promise<typeof import("webgpu")> {
  try {
    return await import("webgpu");
  } catch (cause) {
    const system = `${process.platform} ${process.arch}, Node ${process.version}`;
    throw new DeviceError(`WebGPU cannot be loaded on ${system}: ${messageOf(cause)}`, { cause });
  }
}
