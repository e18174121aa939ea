/** A stand-in for a GPU that is not present: the limits of a named adapter, for plans and costs. It computes nothing. */
import { DeviceError } from "../support/errors.ts";
import type { AdapterFacts } from "./adapter.ts";
import { Gpu } from "./gpu.ts";
import type { ShaderSource } from "./shader.ts";

/** What a plan depends on, as `ghostbatch doctor --json` prints it. */
export interface AssumedAdapter {
  readonly adapter: AdapterFacts;
  readonly limits: Readonly<Record<LimitName, number>>;
  readonly features: readonly string[];
}

/** The limits that decide what fits and how work is split. */
export const LIMIT_NAMES = [
  "maxStorageBufferBindingSize",
  "maxBufferSize",
  "maxStorageBuffersPerShaderStage",
  "maxBindingsPerBindGroup",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupsPerDimension",
] as const;
export type LimitName = (typeof LIMIT_NAMES)[number];

/** The limits that every WebGPU device has (WebGPU specification, "Limits", defaults). */
const GUARANTEED: AssumedAdapter["limits"] = {
  maxStorageBufferBindingSize: 2 ** 27,
  maxBufferSize: 2 ** 28,
  maxStorageBuffersPerShaderStage: 8,
  maxBindingsPerBindGroup: 1000,
  maxComputeWorkgroupStorageSize: 16_384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65_535,
};

/** Dawn binds at most 2 GiB − 4 bytes on NVIDIA's Vulkan driver, and allows 16 storage buffers and 48 KiB of workgroup memory. */
const NVIDIA: AssumedAdapter["limits"] = {
  ...GUARANTEED,
  maxStorageBufferBindingSize: 2 ** 31 - 4,
  maxBufferSize: 2 ** 31,
  maxStorageBuffersPerShaderStage: 16,
  maxComputeWorkgroupStorageSize: 49_152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxComputeWorkgroupSizeX: 1024,
};

const nvidia = (name: string) => assumed(name, NVIDIA, 32, ["shader-f16", "subgroups", "timestamp-query"]);

/** Keyed by the names that --assume-limits takes. */
export const ASSUMED_ADAPTERS: Readonly<Record<string, AssumedAdapter>> = {
  h100: nvidia("NVIDIA H100"),
  h200: nvidia("NVIDIA H200"),
  a100: nvidia("NVIDIA A100"),
  webgpu: assumed("any WebGPU device", GUARANTEED, 0, []),
};

/** The default if no adapter is named and none is present: a GPU that is common in clusters. */
export const DEFAULT_ASSUMED = "h100";

function assumed(
  name: string,
  limits: AssumedAdapter["limits"],
  lanes: number,
  features: readonly string[],
): AssumedAdapter {
  const adapter = {
    ...{ name: `${name} (assumed)`, vendor: "", architecture: "", description: "", software: false },
    ...{ subgroupMinSize: lanes, subgroupMaxSize: lanes, matrices: [] },
  };
  return { adapter, limits, features };
}

/** A Gpu for `planOnly` alone. @throws DeviceError, when it is used, for anything that needs a device */
export function assumedGpu({ adapter, limits, features }: AssumedAdapter, shaders: ShaderSource): Gpu {
  const known: Readonly<Record<string, unknown>> = {
    limits,
    features: new Set(features),
    lost: new Promise(() => undefined),
    destroy: () => undefined,
  };
  const device = new Proxy({} as GPUDevice, {
    get(_, property) {
      const value = known[String(property)];
      if (value !== undefined) return value;
      throw new DeviceError(
        `${adapter.name}: this device is not present; it can be used for plans and costs, not to compute`,
      );
    },
  });
  return new Gpu(device, adapter, shaders);
}
