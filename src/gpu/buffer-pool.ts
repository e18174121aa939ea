/**
 * Buffers by size: eager tensors come from here and go back here; nothing is destroyed until the device is.
 * Sizes are rounded up to a power of two below 1 MiB and to whole MiB above, so that steps of slightly different
 * shapes reuse each other's buffers.
 */
const MEBIBYTE = 2 ** 20;

/** The bytes of the buffer that holds so many. */
export function bucketBytes(bytes: number): number {
  if (bytes >= MEBIBYTE) return Math.ceil(bytes / MEBIBYTE) * MEBIBYTE;
  return Math.max(256, 2 ** Math.ceil(Math.log2(bytes)));
}

export class BufferPool {
  readonly #create: (bytes: number, label: string) => GPUBuffer;
  readonly #free = new Map<number, GPUBuffer[]>();

  /** @param create makes a buffer of exactly so many bytes; what it throws passes through `acquire` */
  constructor(create: (bytes: number, label: string) => GPUBuffer) {
    this.#create = create;
  }

  /** A buffer of at least so many bytes, of unknown contents. */
  acquire(bytes: number, label: string): GPUBuffer {
    const size = bucketBytes(bytes);
    return this.#free.get(size)?.pop() ?? this.#create(size, label);
  }

  /** Takes a buffer back: work that is submitted already may still use it, later work finds it free. */
  release(buffer: GPUBuffer): void {
    const free = this.#free.get(buffer.size);
    if (free) free.push(buffer);
    else this.#free.set(buffer.size, [buffer]);
  }
}
