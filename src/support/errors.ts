// The errors this project throws on purpose. A message says on one line what was expected, what was
// found, where, and what to do; the command line prints it as it stands and leaves with `exitCode`.

import { visible } from "./visible.ts";

/** Options of every error: `cause` is the error underneath, for `DEBUG`; it is not part of the message. */
export interface ErrorDetails {
  readonly cause?: unknown;
}

/**
 * The base of all of them: whatever is not a GhostbatchError is a defect of the program. A message may hold names of files or
 * of what is in them: control characters are written out, so it can be printed.
 */
export class GhostbatchError extends Error {
  /** What the process leaves with when this error ends it. */
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

/** A WGSL file that may well compile, but declares what ghostbatch cannot give it. */
export class ShaderInterfaceError extends ShaderError {}

/** No adapter, a lost device, or an adapter that cannot do what was asked. */
export class DeviceError extends GhostbatchError {
  override readonly exitCode: number = 3;
}

/** A model, a batch or a data set that is larger than the adapter can hold: a smaller one would do. */
export class CapacityError extends DeviceError {
  override readonly exitCode: number = 2;
}

/** The device is gone (driver reset, unplugged): everything on it is lost, and a new device may work. */
export class DeviceLostError extends DeviceError {}

/** A loss, a gradient or a weight that is NaN or infinite. */
export class DivergenceError extends GhostbatchError {}

/** A run that was asked to stop, has kept what it had, and can be resumed. */
export class StoppedError extends GhostbatchError {
  override readonly exitCode: number;

  /** @param exitCode 128 + the number of the signal that asked */
  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}

/** Ranks whose parameters are not the same any more: every rank finds it. */
export class RankDriftError extends DeviceError {}

/** Another rank has failed, or rank 0 has, and says why: this one has nothing to add. */
export class EndedElsewhereError extends GhostbatchError {
  constructor() {
    super("another rank has failed");
  }
}

/** A file or a folder that is missing, damaged, foreign, taken or not writable. */
export class DataError extends GhostbatchError {
  override readonly exitCode: number = 2;
}

/** An option or a configuration that is unknown, malformed or contradicts another. */
export class UsageError extends GhostbatchError {
  override readonly exitCode: number = 2;
}

/** The text of anything that was thrown, on one line. */
export function messageOf(thrown: unknown): string {
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return visible(text.replaceAll(/\s*\n\s*/g, " "));
}
