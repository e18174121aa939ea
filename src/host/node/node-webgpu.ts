// Dawn in Node: the `webgpu` package, opened so that it stays open.
import { DeviceError, messageOf } from "../../support/errors.ts";
import { withoutHarmlessLines } from "./library-lines.ts";

/** Dawn toggles that are on: subgroup matrices are experimental, and f16 on NVIDIA is hidden behind one of its own. */
const ENABLED_TOGGLES = ["allow_unsafe_apis", "vulkan_enable_f16_on_nvidia"];
/** Off: it rounds GPU timestamps to 65,536 ns, more than many kernels take. */
const DISABLED_TOGGLES = ["timestamp_quantization"];

// Dawn aborts the process, or leaves its promises pending, when the object that create() returned is collected while
// a device lives. (As a property of globalThis it would keep the process from ending; here it does not.)
const opened: GPU[] = [];

export interface DawnOptions {
  /** Part of the name of the only adapter to be offered, e.g. "llvmpipe"; `requestAdapter` rejects where there is none. */
  readonly adapter?: string;
  /** Names of further Dawn toggles to switch on, e.g. "dump_shaders". Dawn ignores names it does not know. */
  readonly toggles?: readonly string[];
}

/**
 * Opens WebGPU for the life of the process, and defines its global names (GPUBufferUsage and so on).
 * @throws DeviceError where Dawn has no build for this system
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

/** All adapters of this machine; none where there is no driver. */
export async function listAdapters(): Promise<ListedAdapter[]> {
  if (missingVulkanLoader() !== null) return [];
  // Dawn lists them only in the message with which it refuses a name that no adapter has.
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
 * Why Dawn would find no adapter at all: on Linux, the system's words where the Vulkan loader cannot be loaded. Otherwise null.
 * Asked before Dawn is: that takes longer, and says so on standard error.
 */
export function missingVulkanLoader(file = VULKAN_LOADER): string | null {
  if (process.platform !== "linux") return null;
  try {
    process.dlopen({ exports: {} }, file);
  } catch (error) {
    // A library that is no module of Node's is loaded, and then refused as one.
    const message = messageOf(error);
    return /did not self-register/.test(message) ? null : message;
  }
  return null;
}

// A shared library of 40 MB: loaded when a GPU is wanted, not for --help.
async function loadDawn(): Promise<typeof import("webgpu")> {
  try {
    return await import("webgpu");
  } catch (cause) {
    const system = `${process.platform} ${process.arch}, Node ${process.version}`;
    throw new DeviceError(`WebGPU cannot be loaded on ${system}: ${messageOf(cause)}`, { cause });
  }
}
