/**
 * Buffers by size. Eager tensors take theirs from this pool and return them to it; none is destroyed before the device is.
 * Sizes are rounded up to a power of two below 1 MiB and to whole MiB above, so that steps of slightly different
 * shapes reuse each other's buffers.
 */
const MEBIBYTE = 2 ** 20;

/** The size of the buffer that holds `bytes` bytes. */
export function bucketBytes(bytes: number): number {
  if (bytes >= MEBIBYTE) return Math.ceil(bytes / MEBIBYTE) * MEBIBYTE;
  return Math.max(256, 2 ** Math.ceil(Math.log2(bytes)));
}

export class BufferPool {
  readonly #create: (bytes: number, label: string) => GPUBuffer;
  readonly #free = new Map<number, GPUBuffer[]>();

  /** @param create makes a buffer of exactly the given size; `acquire` passes on what it throws */
  constructor(create: (bytes: number, label: string) => GPUBuffer) {
    this.#create = create;
  }

  /** A buffer of at least `bytes` bytes, with unknown contents. */
  acquire(bytes: number, label: string): GPUBuffer {
    const size = bucketBytes(bytes);
    return this.#free.get(size)?.pop() ?? this.#create(size, label);
  }

  /** Returns a buffer to the pool. Work already submitted may still use it; later work finds it free. */
  release(buffer: GPUBuffer): void {
    const free = this.#free.get(buffer.size);
    if (free) free.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
  }
}
