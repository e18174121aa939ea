/**
 * The buffers of a device: how many exist, what each is for, and when it is free again. Eager tensors return theirs
 * to a pool at the end of a scope; persistent ones are destroyed at the end of a lifetime.
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

/** What a lifetime owns: persistent buffers, the storages of some of them, and storages from the pool. */
interface Owned {
  readonly buffers: GPUBuffer[];
  readonly persistent: Storage[];
  readonly pooled: Set<Storage>;
}

export class DeviceMemory {
  /** Buffers created so far. */
  createdBuffers = 0;
  /** Bytes of all existing buffers. */
  allocatedBytes = 0;
  /** Staging buffers, from which the CPU reads. */
  readonly staging: BufferPool;
  readonly #device: GPUDevice;
  readonly #adapterName: string;
  readonly #failures: DeviceFailures;
  readonly #flush: () => void;
  readonly #pool: BufferPool;
  readonly #scopes: Storage[][] = [];
  /** The tensors that do not fit, while `planOnly` runs; null otherwise. */
  #planned: CapacityError[] | null = null;
  /** What to destroy or return to the pool when the open lifetime ends; null outside one. */
  #owned: Owned | null = null;

  /** @param options.flush submits pending work that uses buffers about to be reused or destroyed */
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

  /** Memory from the pool until it is released, or the scope ends (outside of scopes, the lifetime). @throws CapacityError */
  allocate(bytes: number, label: string): Storage {
    this.requireBindable(bytes, label);
    const storage = new Storage(this.#device, { bytes, label, buffer: this.#pool.acquire(bytes, label) });
    this.#hold(storage);
    return storage;
  }

  /** Notes who returns memory to the pool. */
  #hold(storage: Storage): void {
    const scope = this.#scopes.at(-1);
    if (scope) scope.push(storage);
    else this.#owned?.pooled.add(storage);
  }

  /** Memory that outlives every scope and recording, until the lifetime ends; none while planning. */
  allocatePersistent(bytes: number, label: string, usage: "storage" | "uniform"): Storage {
    if (this.planning) return new Storage(this.#device, { bytes, label });
    this.requireBindable(bytes, label);
    const buffer = this.createPersistent(Math.ceil(bytes / 4) * 4, usage, label);
    const storage = new Storage(this.#device, { bytes, label, buffer });
    this.#owned?.persistent.push(storage);
    return storage;
  }

  /** A buffer that exists until the lifetime ends. */
  createPersistent(bytes: number, usage: keyof typeof USAGE, label: string): GPUBuffer {
    const buffer = this.#create(bytes, usage, label);
    this.#owned?.buffers.push(buffer);
    return buffer;
  }

  /** A buffer for constants, which lives as long as the device. */
  createConstants(bytes: number): GPUBuffer {
    return this.#create(bytes, "uniform", "constants");
  }

  /** Runs `body`. Storages taken from the pool return to it, except those of the views that `body` returns. */
  scope<T>(body: () => T): T {
    const made: Storage[] = [];
    this.#scopes.push(made);
    let views: readonly BufferView[] = [];
    try {
      const result = body();
      views = [result ?? []].flat() as BufferView[];
      return result;
    } finally {
      const kept = new Set(views.map((view) => view.storage));
      try {
        // Deferred work that uses the memory runs now; what it takes from the pool belongs to this scope too.
        if (made.some((storage) => !kept.has(storage))) this.#flush();
      } finally {
        this.#scopes.pop();
      }
      for (const storage of made) {
        if (kept.has(storage)) this.#hold(storage);
        else this.release(storage);
      }
    }
  }

  /** Returns memory to the pool. */
  release(storage: Storage): void {
    if (storage.buffer === null || storage.transient) return;
    this.#flush();
    this.#pool.release(storage.buffer);
    storage.free();
    this.#owned?.pooled.delete(storage);
  }

  /** Runs `body` and destroys the persistent buffers created in it; pool storages outside any scope return to the pool. */
  async lifetime<T>(body: () => Promise<T>): Promise<T> {
    const outer = this.#owned;
    const owned: Owned = { buffers: [], persistent: [], pooled: new Set() };
    this.#owned = owned;
    try {
      return await body();
    } finally {
      this.#flush();
      for (const storage of owned.pooled) this.release(storage);
      for (const storage of owned.persistent) storage.free();
      for (const buffer of owned.buffers) {
        this.allocatedBytes -= buffer.size;
        buffer.destroy();
      }
      this.#owned = outer;
    }
  }

  /** Runs `body` without memory for persistent tensors, and lists refused ones instead of throwing. */
  planOnly<T>(body: () => T): { result: T; refused: readonly CapacityError[] } {
    const refused: CapacityError[] = [];
    this.#planned = refused;
    try {
      return { result: body(), refused };
    } finally {
      this.#planned = null;
    }
  }

  /** Throws if something does not fit the adapter or, while planning, lists it. */
  refuse(error: CapacityError): void {
    if (this.#planned === null) throw error;
    this.#planned.push(error);
  }

  /** @throws CapacityError if it exceeds the adapter's largest binding */
  requireBindable(bytes: number, label: string): void {
    const limit = this.#device.limits.maxStorageBufferBindingSize;
    if (bytes > limit) {
      throw new CapacityError(
        `${label}: needs ${formatBytes(bytes)}, but ${this.#adapterName} binds at most ${formatBytes(limit)} (use smaller slabs or ghosts, or an adapter with larger limits)`,
      );
    }
  }

  /** Creates and counts a buffer. A failed allocation is reported at the next await. */
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
        `${label}: out of GPU memory: ${formatBytes(bytes)} do not fit beside the ${formatBytes(total)} in use; allow less memory per step (--memory, in MiB), use a smaller ghost size or model, or stop other programs that use ${this.#adapterName}`,
    );
    this.createdBuffers++;
    this.allocatedBytes += bytes;
    if (env.debugAllocations())
      console.error(`allocate ${label} ${formatBytes(bytes)}, ${formatBytes(this.allocatedBytes)} in total`);
    return buffer;
  }
}
