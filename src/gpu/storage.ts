/**
 * Memory of the GPU. A `Storage` is a range of bytes that tensors share; it has a GPUBuffer at once when it is
 * allocated eagerly, and gets one from the recording's plan when it is allocated while a step is recorded.
 */
export class Storage {
  #bytes: number;
  readonly label: string;
  /** Belongs to a recording: its buffer is shared with storages that are not alive at the same time. */
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
