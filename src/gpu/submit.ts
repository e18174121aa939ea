/** Submits commands to the device: all in one submit or, to find a fault, each in its own. */
import { env } from "../support/env.ts";
import { messageOf } from "../support/errors.ts";
import { encodeCommands, type PreparedCommand, type Timestamps } from "./command.ts";
import type { DeviceFailures } from "./failures.ts";

interface Submitter {
  readonly device: GPUDevice;
  readonly failures: DeviceFailures;
}

export function submitCommands(
  gpu: Submitter,
  commands: readonly PreparedCommand[],
  label: string,
  timestamps: Timestamps | null = null,
): void {
  if (env.debugLevel() >= 5 && !timestamps?.together) {
    for (const [index, command] of commands.entries()) submitAlone(gpu, command, index, timestamps);
    return;
  }
  gpu.failures.lastKernel = commands.at(-1)?.file ?? gpu.failures.lastKernel;
  gpu.device.queue.submit([encodeCommands(gpu.device, commands, label, timestamps)]);
}

/** Submits one command in its own error scope, so that an error is reported with the kernel's name. */
function submitAlone(
  { device, failures }: Submitter,
  command: PreparedCommand,
  index: number,
  timestamps: Timestamps | null,
): void {
  const { file } = command;
  failures.lastKernel = file;
  const own = timestamps && { ...timestamps, first: timestamps.first + 2 * index };
  failures.scope(
    "validation",
    () => device.queue.submit([encodeCommands(device, [command], file, own)]),
    (error) => `${file}: ${messageOf(error.message)}`,
  );
}
