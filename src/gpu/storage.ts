import { DeviceError } from "../support/errors.ts";

/**
 * Memory of the GPU. A `Storage` is a range of bytes that tensors share; it has a GPUBuffer at once when it is
 * allocated eagerly, and gets one from the recording's plan when it is allocated while a step is recorded.
 */
export class Storage {
  #bytes: number;
  readonly label: string;
  /** Belongs to a recording: its buffer is shared with storages that are not alive at the same time. */
  readonly transient: boolean;
  readonly device: GPUDevice;
  buffer: GPUBuffer | null;
  #freed = false;

  constructor(
    device: GPUDevice,
    {
      bytes,
      label,
      transient = false,
      buffer = null,
    }: { bytes: number; label: string; transient?: boolean; buffer?: GPUBuffer | null },
  ) {
    this.device = device;
    this.#bytes = bytes;
    this.label = label;
    this.transient = transient;
    this.buffer = buffer;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Notes that the buffer is no longer its own: it has returned to the pool or is destroyed. */
  free(): void {
    this.buffer = null;
    this.#freed = true;
  }

  /** @param user what is about to use it, for the message. @throws DeviceError if it was freed or is on another device */
  requireUsable(user: string, device: GPUDevice): void {
    if (this.#freed) {
      throw new DeviceError(
        `${user}: ${this.label} has been freed: return it from its scope, or free it after its last use`,
      );
    }
    if (this.device !== device) {
      throw new DeviceError(
        `${user}: ${this.label} is on another device: create it on the device that uses it`,
      );
    }
  }

  /** As `requireUsable`, and returns the buffer. @throws DeviceError also for memory of a recording that has none yet */
  requireBuffer(user: string, device: GPUDevice): GPUBuffer {
    this.requireUsable(user, device);
    if (this.buffer) return this.buffer;
    throw new DeviceError(
      `${user}: ${this.label} belongs to a recording and has no memory outside it: return it from the recorded function`,
    );
  }

  /** Shrinks the storage in a recording's memory plan, which is made when the whole step is known. An existing buffer keeps its size. */
  shrink(bytes: number): void {
    if (this.buffer === null) this.#bytes = Math.min(this.#bytes, aligned(bytes));
  }
}

/** A range of a storage: what a kernel binds. Tensors are views. */
export interface BufferView {
  readonly storage: Storage;
  /** Bytes from the start of the storage; a multiple of the device's offset alignment (256 at most). */
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** WebGPU's largest minimum alignment of a storage or uniform binding's offset, bytes (limits of the specification). */
export const OFFSET_ALIGNMENT = 256;

export function aligned(bytes: number, alignment = OFFSET_ALIGNMENT): number {
  return Math.ceil(bytes / alignment) * alignment;
}
