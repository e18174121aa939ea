/**
 * Memory of the GPU. A `Storage` is a range of bytes that tensors share; it has a GPUBuffer at once when it is
 * allocated eagerly, and gets one from the recording's plan when it is allocated while a step is recorded.
 */
export class Storage {
  #bytes: number;
  readonly label: string;
  /** Belongs to a recording: its buffer is shared with other storages that are dead while this one lives. */
  readonly transient: boolean;
  buffer: GPUBuffer | null;

  constructor(bytes: number, label: string, transient: boolean, buffer: GPUBuffer | null) {
    this.#bytes = bytes;
    this.label = label;
    this.transient = transient;
    this.buffer = buffer;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Takes fewer bytes of a recording's memory, which is planned when all of the step is known; a buffer stays as large as it is. */
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
