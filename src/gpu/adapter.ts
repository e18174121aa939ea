/** Chooses the adapter, and requests a device with the features and limits that kernels use. */
import { DeviceError } from "../support/errors.ts";
import { MATRIX_FEATURE, type MatrixSize, matrixSizes } from "./matrices.ts";

export interface AdapterFacts {
  readonly name: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** A CPU emulating a GPU: correct but slow, and marked as such wherever a time is printed. */
  readonly software: boolean;
  readonly subgroupMinSize: number;
  readonly subgroupMaxSize: number;
  /** Matrix products that a subgroup computes together; empty without that feature. */
  readonly matrices: readonly MatrixSize[];
}

/**
 * Features requested if the adapter has them: f16 for mixed precision, subgroups for the narrow kernels, timestamps
 * for the profiler, and the others for what a user's own kernel in `bench kernel` may enable.
 */
export const USEFUL_FEATURES = [
  "shader-f16",
  "subgroups",
  "subgroup-size-control",
  "timestamp-query",
  MATRIX_FEATURE,
];

const SOFTWARE = /^software$|llvmpipe|lavapipe|swiftshader|software rasterizer|basic render/i;

export function adapterFacts(info: GPUAdapterInfo): AdapterFacts {
  const { vendor, architecture, description, device } = info;
  // A browser may leave all fields but the architecture empty; isFallbackAdapter is how it marks a software adapter.
  const software =
    info.isFallbackAdapter || [architecture, description, device].some((text) => SOFTWARE.test(text));
  return {
    name: description || device || `${vendor} ${architecture}`.trim() || "unknown adapter",
    vendor,
    architecture,
    description,
    software,
    subgroupMinSize: info.subgroupMinSize ?? 0,
    subgroupMaxSize: info.subgroupMaxSize ?? 0,
    matrices: matrixSizes(info),
  };
}

/** Dawn's Null backend accepts every command and computes nothing: results would be plausible and wrong. */
export function isNullAdapter(info: GPUAdapterInfo): boolean {
  return /null[- ]backend/i.test(`${info.description} ${info.device} ${info.architecture}`);
}

/** The highest-performance adapter, or null if there is none that computes. */
export async function findAdapter(gpu: GPU): Promise<GPUAdapter | null> {
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  return adapter === null || isNullAdapter(adapter.info) ? null : adapter;
}

/** A device with the adapter's own limits instead of the defaults, and every useful feature. */
export async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const value = (adapter.limits as unknown as Record<string, unknown>)[name];
    if (typeof value === "number") requiredLimits[name] = value;
  }
  const requiredFeatures = USEFUL_FEATURES.filter((name) => adapter.features.has(name)) as GPUFeatureName[];
  try {
    return await adapter.requestDevice({ requiredLimits, requiredFeatures, label: "ghostbatch" });
  } catch (cause) {
    throw new DeviceError(
      `${adapterFacts(adapter.info).name}: the adapter refused to create a device: ${(cause as Error).message}`,
      { cause },
    );
  }
}
