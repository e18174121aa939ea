/** Opens a Gpu in a page or its worker, or explains why that is impossible. */
import { adapterFacts, requestDevice } from "../../gpu/adapter.ts";
import { Gpu } from "../../gpu/gpu.ts";
import { definedKernels } from "../../gpu/kernel.ts";
import { parseShader } from "../../gpu/shader.ts";
import { requireAdapter, requireStorageBuffers } from "./missing-gpu.ts";
import type { ShaderBundle } from "./shader-bundle.ts";

/**
 * A device with all that the browser's adapter offers, checked against the bundled kernels.
 * @throws MissingGpuError if the browser, the address or the adapter is unsuitable, saying what would help
 */
export async function openGpu({ source, holds }: ShaderBundle): Promise<Gpu> {
  const adapter = await requireAdapter();
  const files = definedKernels().map(({ file }) => file);
  const kernels = files.filter(holds).map((file) => {
    const { bindings } = parseShader(file, source);
    return { file, buffers: bindings.filter(({ kind }) => kind !== "uniform").length };
  });
  requireStorageBuffers(adapter, kernels);
  return new Gpu(await requestDevice(adapter), adapterFacts(adapter.info), source);
}
