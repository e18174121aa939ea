/** From nothing to a Gpu in a page or its worker; where that cannot be, why. */
import { adapterFacts, requestDevice } from "../../gpu/adapter.ts";
import { Gpu } from "../../gpu/gpu.ts";
import { definedKernels } from "../../gpu/kernel.ts";
import { parseShader, type ShaderSource } from "../../gpu/shader.ts";
import { requireAdapter, requireStorageBuffers } from "./missing-gpu.ts";

/**
 * A device with all that the browser's adapter offers, checked against the kernels that the program imports.
 * @throws MissingGpuError where the browser, the address or the adapter does not do, saying what would
 */
export async function openGpu(shaders: ShaderSource): Promise<Gpu> {
  const adapter = await requireAdapter();
  const kernels = definedKernels().map(({ file }) => {
    const { bindings } = parseShader(file, shaders);
    return { file, buffers: bindings.filter(({ kind }) => kind !== "uniform").length };
  });
  requireStorageBuffers(adapter, kernels);
  return new Gpu(await requestDevice(adapter), adapterFacts(adapter.info), shaders);
}
