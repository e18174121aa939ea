/**
 * Buffers by size: eager tensors come from here and go back here; nothing is destroyed until the device is.
 * Sizes are rounded up to a power of two below 1 MiB and to whole MiB above, so that steps of slightly different
 * shapes reuse each other's buffers.
 */
const MEBIBYTE = 2 ** 20;

export function bucketBytes(bytes: number): number {
  if (bytes >= MEBIBYTE) return Math.ceil(bytes / MEBIBYTE) * MEBIBYTE;
  return Math.max(256, 2 ** Math.ceil(Math.log2(bytes)));
}

export class BufferPool {
  readonly #create: (bytes: number, label: string) => GPUBuffer;
  readonly #free = new Map<number, GPUBuffer[]>();

  constructor(create: (bytes: number, label: string) => GPUBuffer) {
    this.#create = create;
  }

  acquire(bytes: number, label: string): GPUBuffer {
    const size = bucketBytes(bytes);
    return this.#free.get(size)?.pop() ?? this.#create(size, label);
  }

  release(buffer: GPUBuffer): void {
    const free = this.#free.get(buffer.size);
    if (free) free.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
  }
}

/**
 * Uniform parameters of dispatches. Equal contents share one slot, so that a recorded step of hundreds of
 * dispatches has a handful of them and replaying writes none.
 */
export class ConstantBuffers {
  static readonly #SLOT = 256; // minUniformBufferOffsetAlignment of the WebGPU specification
  static readonly #CHUNK = 64 * 256; // slots are made 64 at a time
  readonly #device: GPUDevice;
  readonly #create: (bytes: number) => GPUBuffer;
  readonly #slots = new Map<string, { buffer: GPUBuffer; offset: number; size: number }>();
  #chunk: GPUBuffer | null = null;
  #used = 0;

  constructor(device: GPUDevice, create: (bytes: number) => GPUBuffer) {
    this.#device = device;
    this.#create = create;
  }

  bind(words: Uint32Array<ArrayBuffer>): { buffer: GPUBuffer; offset: number; size: number } {
    const key = words.join();
    const known = this.#slots.get(key);
    if (known) return known;
    if (this.#chunk === null || this.#used === ConstantBuffers.#CHUNK) {
      this.#chunk = this.#create(ConstantBuffers.#CHUNK);
      this.#used = 0;
    }
    const slot = { buffer: this.#chunk, offset: this.#used, size: Math.ceil(words.byteLength / 16) * 16 };
    this.#used += ConstantBuffers.#SLOT;
    this.#device.queue.writeBuffer(slot.buffer, slot.offset, words);
    this.#slots.set(key, slot);
    return slot;
  }
}
