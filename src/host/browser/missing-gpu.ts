/** Explains to visitors why a page has no GPU. */
import { adapterFacts, findAdapter } from "../../gpu/adapter.ts";
import { DeviceError } from "../../support/errors.ts";

export type MissingGpu = "no WebGPU" | "insecure address" | "no adapter" | "too few limits";

export class MissingGpuError extends DeviceError {
  readonly reason: MissingGpu;

  constructor(reason: MissingGpu, message: string) {
    super(message);
    this.reason = reason;
  }
}

/** @throws MissingGpuError if the browser, the address or the machine has none, saying what would help */
export async function requireAdapter(): Promise<GPUAdapter> {
  const root = (navigator as { readonly gpu?: GPU }).gpu;
  if (root === undefined) throw withoutWebGpu();
  const adapter = await findAdapter(root);
  if (adapter !== null) return adapter;
  throw new MissingGpuError(
    "no adapter",
    "This browser has WebGPU but found no adapter: update the GPU's driver, or allow hardware acceleration in the browser's settings.",
  );
}

/** Browsers offer WebGPU only on secure addresses: https, localhost and 127.0.0.1. */
function withoutWebGpu(): MissingGpuError {
  if (isSecureContext) {
    return new MissingGpuError(
      "no WebGPU",
      "This browser has no WebGPU: use a current Chrome, Edge, Safari or Firefox.",
    );
  }
  return new MissingGpuError(
    "insecure address",
    `Browsers offer WebGPU only on secure addresses, and ${location.origin} is not one: open the page over https, or at http://127.0.0.1.`,
  );
}

/** @throws MissingGpuError if a kernel binds more storage buffers than the adapter offers, naming it */
export function requireStorageBuffers(
  { limits, info }: GPUAdapter,
  kernels: readonly { readonly file: string; readonly buffers: number }[],
): void {
  const { maxStorageBuffersPerShaderStage: offered } = limits;
  const most = kernels.reduce((a, b) => (b.buffers > a.buffers ? b : a));
  if (most.buffers <= offered) return;
  throw new MissingGpuError(
    "too few limits",
    `${adapterFacts(info).name} offers ${offered} storage buffers for each shader stage, and ${most.file} binds ${most.buffers}: use another browser or GPU.`,
  );
}
