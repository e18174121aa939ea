/**
 * The buffers of a device: how many there are, what each is for, and when it is free again. Eager tensors give theirs
 * back to a pool at the end of a scope; persistent ones are destroyed at the end of a lifetime.
 */
import { env } from "../support/env.ts";
import { CapacityError } from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";
import { BufferPool } from "./buffer-pool.ts";
import type { DeviceFailures } from "./failures.ts";
import { type BufferView, Storage } from "./storage.ts";

/** GPUBufferUsage as numbers: the global exists only after a host has set it. */
const USAGE = {
  storage: 0x80 | 0x4 | 0x8, // STORAGE | COPY_SRC | COPY_DST
  uniform: 0x40 | 0x8, // UNIFORM | COPY_DST
  staging: 0x1 | 0x8, // MAP_READ | COPY_DST
};

export class DeviceMemory {
  /** Buffers made so far. */
  createdBuffers = 0;
  /** Bytes of all buffers that exist. */
  allocatedBytes = 0;
  /** Buffers that the CPU reads copies from. */
  readonly staging: BufferPool;
  readonly #device: GPUDevice;
  readonly #adapterName: string;
  readonly #failures: DeviceFailures;
  readonly #flush: () => void;
  readonly #pool: BufferPool;
  readonly #scopes: Storage[][] = [];
  /** What does not fit, while `planOnly` runs; null otherwise. */
  #planned: CapacityError[] | null = null;
  /** What the open lifetime ends with: buffers that are destroyed, storages that go back to the pool; null outside one. */
  #owned: { readonly buffers: GPUBuffer[]; readonly storages: Set<Storage> } | null = null;

  /** @param options.flush submits what still uses buffers that are about to be reused or destroyed */
  constructor(
    device: GPUDevice,
    { adapterName, failures, flush }: { adapterName: string; failures: DeviceFailures; flush: () => void },
  ) {
    this.#device = device;
    this.#adapterName = adapterName;
    this.#failures = failures;
    this.#flush = flush;
    this.#pool = new BufferPool((bytes, label) => this.#create(bytes, "storage", label));
    this.staging = new BufferPool((bytes, label) => this.#create(bytes, "staging", label));
  }

  /** Whether `planOnly` runs: nothing is allocated, written or dispatched. */
  get planning(): boolean {
    return this.#planned !== null;
  }

  /** Memory from the pool, until the scope ends, outside of scopes the lifetime, or it is released. @throws CapacityError */
  allocate(bytes: number, label: string): Storage {
    this.requireBindable(bytes, label);
    const storage = new Storage(bytes, label, false, this.#pool.acquire(bytes, label));
    this.#hold(storage);
    return storage;
  }

  /** Notes who gives memory of the pool back. */
  #hold(storage: Storage): void {
    const scope = this.#scopes.at(-1);
    if (scope) scope.push(storage);
    else this.#owned?.storages.add(storage);
  }

  /** Memory that outlives every scope and recording, until the lifetime ends; none while a plan is made. */
  allocatePersistent(bytes: number, label: string, usage: "storage" | "uniform"): Storage {
    if (this.planning) return new Storage(bytes, label, false, null);
    this.requireBindable(bytes, label);
    return new Storage(bytes, label, false, this.createPersistent(Math.ceil(bytes / 4) * 4, usage, label));
  }

  /** A buffer that exists until the lifetime ends. */
  createPersistent(bytes: number, usage: keyof typeof USAGE, label: string): GPUBuffer {
    const buffer = this.#create(bytes, usage, label);
    this.#owned?.buffers.push(buffer);
    return buffer;
  }

  /** A buffer for constants, which exists as long as the device. */
  createConstants(bytes: number): GPUBuffer {
    return this.#create(bytes, "uniform", "constants");
  }

  /** Runs `body`; storages of the pool made in it go back there, except those of the views it returns. */
  scope<T>(body: () => T): T {
    const made: Storage[] = [];
    this.#scopes.push(made);
    let views: readonly BufferView[] = [];
    try {
      const result = body();
      views = [result ?? []].flat() as BufferView[];
      return result;
    } finally {
      this.#scopes.pop();
      const kept = new Set(views.map((view) => view.storage));
      for (const storage of made) {
        if (kept.has(storage)) this.#hold(storage);
        else this.release(storage);
      }
    }
  }

  /** Gives memory back to the pool. */
  release(storage: Storage): void {
    if (storage.buffer === null || storage.transient) return;
    this.#flush();
    this.#pool.release(storage.buffer);
    storage.buffer = null;
    this.#owned?.storages.delete(storage);
  }

  /** Runs `body` and destroys the persistent buffers made in it; storages that no scope had go back to the pool. */
  async lifetime<T>(body: () => Promise<T>): Promise<T> {
    const outer = this.#owned;
    const owned = { buffers: [] as GPUBuffer[], storages: new Set<Storage>() };
    this.#owned = owned;
    try {
      return await body();
    } finally {
      this.#flush();
      for (const storage of owned.storages) this.release(storage);
      for (const buffer of owned.buffers) {
        this.allocatedBytes -= buffer.size;
        buffer.destroy();
      }
      this.#owned = outer;
    }
  }

  /** Runs `body` without memory for persistent tensors, and lists what is refused instead of throwing it. */
  planOnly<T>(body: () => T): { result: T; refused: readonly CapacityError[] } {
    const refused: CapacityError[] = [];
    this.#planned = refused;
    try {
      return { result: body(), refused };
    } finally {
      this.#planned = null;
    }
  }

  /** Throws, or lists while only a plan is made, what does not fit the adapter. */
  refuse(error: CapacityError): void {
    if (this.#planned === null) throw error;
    this.#planned.push(error);
  }

  /** @throws CapacityError for more bytes than one binding of the adapter holds */
  requireBindable(bytes: number, label: string): void {
    const limit = this.#device.limits.maxStorageBufferBindingSize;
    if (bytes > limit) {
      throw new CapacityError(
        `${label}: needs ${formatBytes(bytes)}, but ${this.#adapterName} binds at most ${formatBytes(limit)} (use smaller slabs or ghosts, or an adapter with larger limits)`,
      );
    }
  }

  /** Makes a buffer, counted; an allocation that fails is reported at the next await. */
  #create(bytes: number, usage: keyof typeof USAGE, label: string): GPUBuffer {
    const { maxBufferSize } = this.#device.limits;
    if (bytes > maxBufferSize) {
      throw new CapacityError(
        `${label}: needs ${formatBytes(bytes)}, but a buffer of ${this.#adapterName} holds at most ${formatBytes(maxBufferSize)}`,
      );
    }
    const total = this.allocatedBytes;
    const buffer = this.#failures.scope(
      "out-of-memory",
      () => this.#device.createBuffer({ size: bytes, usage: USAGE[usage], label }),
      () =>
        `${label}: out of GPU memory: ${formatBytes(bytes)} do not fit beside the ${formatBytes(total)} in use; allow less memory per step (--memory, in MiB), use a smaller ghost or model, or stop other programs that use ${this.#adapterName}`,
    );
    this.createdBuffers++;
    this.allocatedBytes += bytes;
    if (env.debugAllocations())
      console.error(`allocate ${label} ${formatBytes(bytes)}, ${formatBytes(this.allocatedBytes)} in total`);
    return buffer;
  }
}
