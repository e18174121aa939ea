// The errors this project throws on purpose. A message says on one line what was expected, what was
// found, where, and what to do; the command line prints it as it stands and leaves with `exitCode`.

import { visible } from "./visible.ts";

/** Options of every error: `cause` is the error underneath, for `DEBUG`; it is not part of the message. */
export interface ErrorDetails {
  readonly cause?: unknown;
}

/**
 * The base class. Any other error is a bug in the program. A message may contain file names and text from files;
 * control characters in it are escaped, so it can be printed.
 */
export class GhostbatchError extends Error {
  /** The exit code of a process that this error ends. */
  readonly exitCode: number = 1;

  constructor(message: string, details: ErrorDetails = {}) {
    super(visible(message), details);
    this.name = new.target.name;
  }
}

/** Shapes, types or counts of tensors that do not fit each other. */
export class ShapeError extends GhostbatchError {}

/** A WGSL file that does not parse, bind or compile; the message has file, line, column and the line. */
export class ShaderError extends GhostbatchError {}

/** A WGSL file that may compile, but declares something that ghostbatch cannot bind. */
export class ShaderInterfaceError extends ShaderError {}

/** No adapter, a lost device, or an adapter that cannot do what was asked. */
export class DeviceError extends GhostbatchError {
  override readonly exitCode: number = 3;
}

/** A model, batch or data set that is too large for the adapter; a smaller one would fit. */
export class CapacityError extends DeviceError {
  override readonly exitCode: number = 2;
}

/** The device is lost (driver reset, unplugged) with everything on it; a new device may work. */
export class DeviceLostError extends DeviceError {}

/** A loss, a gradient or a weight that is NaN or infinite. */
export class DivergenceError extends GhostbatchError {}

/** A run that was asked to stop; it has saved its state and can be resumed. */
export class StoppedError extends GhostbatchError {
  override readonly exitCode: number;

  /** @param exitCode 128 + the number of the signal that asked */
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** The ranks' parameters are no longer equal. Every rank detects this. */
export class RankDriftError extends DeviceError {}

/** Another rank has failed and reports why; this one has nothing to add. */
export class EndedElsewhereError extends GhostbatchError {
  constructor() {
    super("another rank has failed");
  }
}

/** A file or folder that is missing, damaged, not ours, in use or not writable. */
export class DataError extends GhostbatchError {
  override readonly exitCode: number = 2;
}

/** An option or configuration that is unknown, malformed or contradicts another. */
export class UsageError extends GhostbatchError {
  override readonly exitCode: number = 2;
}

/** The message of any thrown value, on one line. */
export function messageOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return visible(text.replaceAll(/\s*\n\s*/g, " "));
}
