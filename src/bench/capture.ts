/** Captures the dispatches of a launcher as a list, to modify, check and time one by one. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Variant } from "../gpu/variant.ts";
import { DeviceError } from "../support/errors.ts";
import { POISON } from "./poison.ts";

/**
 * The dispatches of `body` with a variant, in order; nothing runs. Scratch memory of launchers is poisoned and
 * lives until the enclosing `gpu.lifetime` ends.
 *
 * @param options.specialized  kernels made for some shapes alone as well, as in training
 * @throws DeviceError inside a recording
 */
export function captureCommands(
  gpu: Gpu,
  variant: Variant,
  body: () => void,
  { specialized = true }: { specialized?: boolean } = {},
): Command[] {
  if (gpu.recorder) throw new DeviceError("a recording is open: its dispatches cannot be captured");
  gpu.flush();
  const commands: Command[] = [];
  const own = gpu.variant;
  gpu.variant = variant;
  gpu.specialized = specialized;
  gpu.recorder = {
    append: (command) => void commands.push(command),
    allocate: (bytes, label) => {
      const storage = gpu.allocatePersistent(bytes, label);
      const byteLength = Math.ceil(bytes / 4) * 4;
      gpu.writeOnce({ storage, byteOffset: 0, byteLength }, new Uint32Array(byteLength / 4).fill(POISON));
      return storage;
    },
    constant: (data, label) => {
      const storage = gpu.allocatePersistent(data.byteLength, label);
      gpu.writeOnce({ storage, byteOffset: 0, byteLength: data.byteLength }, data);
      return storage;
    },
    refuse: () => {}, // the caller gets the error, and nothing here awaits a promise
  };
  try {
    body();
    gpu.flush(); // runs a convolution that is waiting for a norm
  } finally {
    gpu.recorder = null;
    gpu.variant = own;
    gpu.specialized = true;
  }
  return commands;
}

/** What is dispatched, without where its memory is. */
export function signatureOf(commands: readonly Command[]): string {
  return JSON.stringify(
    commands.map(({ kernel, launch: { overrides, spec, params, workgroups } }) => [
      kernel.file,
      overrides,
      spec,
      params,
      workgroups,
    ]),
  );
}
