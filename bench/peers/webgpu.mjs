// WebGPU as a browser has it, for engines that look for navigator.gpu when they are imported: import this first.
import { create, globals } from "webgpu";

Object.assign(globalThis, globals);
const name = process.env.PEERS_ADAPTER;
// The same toggles as the engine that they are compared with.
const gpu = create([
  "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia",
  "disable-dawn-features=timestamp_quantization",
  ...(name ? [`adapter=${name}`] : []),
]);
// Dawn aborts the process when this object is collected while a device lives.
const kept = [gpu];
Object.defineProperty(globalThis, "navigator", {
  value: { gpu: kept[0], userAgent: "node", platform: "node" },
  configurable: true,
});
// TensorFlow.js registers its WebGPU backend in windows and workers alone.
globalThis.WorkerGlobalScope ??= class {};

/** The adapter that an engine gets, as it describes itself. */
export async function adapterName() {
  const { description, device } = (await gpu.requestAdapter({ powerPreference: "high-performance" })).info;
  return description || device;
}
