/** What a command binds: a buffer for each binding of its shader, and a slot for its parameters. */
import { DeviceError } from "../support/errors.ts";
import type { Command } from "./command.ts";
import type { ConstantBuffers } from "./constant-buffers.ts";
import type { ShaderFile } from "./shader.ts";
import type { BufferView } from "./storage.ts";

/** @throws DeviceError for a tensor of a recording, which has no memory outside it */
export function bindEntries(
  { kernel, launch }: Command,
  shader: ShaderFile,
  constants: ConstantBuffers,
): GPUBindGroupEntry[] {
  return shader.bindings.map(({ name, number: binding }) => {
    if (name === "params") return { binding, resource: constants.bind(shader.params, launch.params ?? {}) };
    const { storage, byteOffset, byteLength } = launch.buffers[name] as BufferView;
    const { buffer } = storage;
    if (!buffer)
      throw new DeviceError(
        `${kernel.file}: ${name} (${storage.label}) belongs to a recording and has no memory outside it`,
      );
    return { binding, resource: { buffer, offset: byteOffset, size: Math.ceil(byteLength / 4) * 4 } };
  });
}
