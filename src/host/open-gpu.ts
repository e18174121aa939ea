/** From nothing to a Gpu in Node: the adapter asked for, a hardware one, or the software one where there is none. */
import { adapterFacts, findAdapter, requestDevice } from "../gpu/adapter.ts";
import { Gpu } from "../gpu/gpu.ts";
import { env } from "../support/env.ts";
import { DeviceError } from "../support/errors.ts";
import { openDawn } from "./node-webgpu.ts";
import { pollPatiently } from "./patient-polling.ts";
import { shaderFiles } from "./shader-files.ts";
import { relaunchOnSoftwareGpu, runningOnSoftwareNode, softwareNodePath } from "./software-gpu.ts";
import { variantChoice } from "./variant-choice.ts";

const SOFTWARE_NAME = /^(software|llvmpipe|lavapipe)$/i;

/**
 * @param adapter part of an adapter's name, or "software"; without it the fastest hardware adapter, and software
 *   only where there is nothing else
 * @throws DeviceError when there is no such adapter, saying what to do
 */
export async function openGpu({ adapter: wanted }: { adapter?: string | undefined } = {}): Promise<Gpu> {
  const software = wanted !== undefined && SOFTWARE_NAME.test(wanted);
  const canRelaunch = !runningOnSoftwareNode() && softwareNodePath() !== null;
  if (software && canRelaunch) return relaunchOnSoftwareGpu();
  const root = await openDawn(wanted === undefined || software ? {} : { adapter: wanted });
  const adapter = await findAdapter(root).catch(() => null);
  const facts = adapter && adapterFacts(adapter.info);
  if (adapter && facts && !(software && !facts.software)) {
    if (facts.software) pollPatiently();
    const gpu = new Gpu(await requestDevice(adapter), facts, shaderFiles);
    const { variant, reason } = variantChoice(gpu);
    gpu.variant = variant;
    if (env.debugLevel() >= 1) console.error(`device ${facts.name}, ${variant} kernels by ${reason}`);
    return gpu;
  }
  if (wanted === undefined && canRelaunch) return relaunchOnSoftwareGpu();
  throw new DeviceError(
    wanted === undefined
      ? "no GPU adapter: run `npm run setup`, which installs a software GPU, or install a driver with Vulkan, Metal or D3D12"
      : `no adapter named ${JSON.stringify(wanted)}: \`ghostbatch doctor\` lists those there are`,
  );
}
