/** What a command binds: a buffer for each binding of its shader, and a slot for its parameters. */
import type { Command } from "./command.ts";
import type { ConstantBuffers } from "./constant-buffers.ts";
import type { ShaderFile } from "./shader.ts";
import type { BufferView } from "./storage.ts";

/** @throws DeviceError for a tensor without memory: one that was freed, or one of a recording, used outside it */
export function bindEntries(
  { kernel, launch }: Command,
  shader: ShaderFile,
  constants: ConstantBuffers,
  device: GPUDevice,
): GPUBindGroupEntry[] {
  return shader.bindings.map(({ name, number: binding }) => {
    if (name === "params") return { binding, resource: constants.bind(shader, launch.params ?? {}) };
    const { storage, byteOffset, byteLength } = launch.buffers[name] as BufferView;
    const buffer = storage.requireBuffer(`${kernel.file}: ${name}`, device);
    return { binding, resource: { buffer, offset: byteOffset, size: Math.ceil(byteLength / 4) * 4 } };
  });
}
