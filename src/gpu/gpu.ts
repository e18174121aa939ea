/**
 * The GPU of a run: a device, its memory, and `run`, the only place where anything is dispatched. Outside a
 * recording a dispatch joins a batch that is submitted before the next read, write or replay; inside one
 * (see recording.ts) it becomes an entry of the step that is replayed later.
 */
import { env } from "../support/env.ts";
import {
  CapacityError,
  DeviceError,
  DeviceLostError,
  GhostbatchError,
  messageOf,
  ShaderError,
} from "../support/errors.ts";
import { formatBytes } from "../support/format.ts";
import type { AdapterFacts } from "./adapter.ts";
import { BufferPool, ConstantBuffers } from "./buffers.ts";
import type { AnyKernel, AnyLaunch, Kernel, Launch } from "./kernel.ts";
import { Pipelines } from "./pipelines.ts";
import type { ShaderSource } from "./shader.ts";
import { type BufferView, Storage } from "./storage.ts";

/** One dispatch: what a recording keeps. */
export interface Command {
  readonly kernel: AnyKernel;
  readonly launch: AnyLaunch;
}

/** A dispatch with everything made: what a replay encodes. */
export interface PreparedCommand {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** Takes the commands and the memory of a step that is being recorded. */
export interface Recorder {
  append(command: Command): void;
  allocate(bytes: number, label: string): Storage;
}

// GPUBufferUsage as numbers: the global exists only after a host has set it.
const STORAGE_USAGE = 0x80 | 0x4 | 0x8; // STORAGE | COPY_SRC | COPY_DST
const UNIFORM_USAGE = 0x40 | 0x8; // UNIFORM | COPY_DST
const STAGING_USAGE = 0x1 | 0x8; // MAP_READ | COPY_DST

/** Lanes of a subgroup that the narrow kernels are written for. */
const NARROW = 8;

/** Dispatches that wait for each other before they are submitted; bounds the work in one command buffer. */
const BATCH = 128;

export class Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterFacts;
  /** Which files of a kernel with variants are used: "narrow" where a subgroup has 8 lanes, as CPUs have. */
  variant: "narrow" | "wide";
  readonly pipelines: Pipelines;
  /** Objects made so far: a replayed step must not change these. */
  readonly created = { buffers: 0, bindGroups: 0, pipelines: 0 };
  /** Bytes of all buffers that exist. */
  allocatedBytes = 0;
  recorder: Recorder | null = null;
  readonly #pool: BufferPool;
  readonly #constants: ConstantBuffers;
  readonly #staging: BufferPool;
  readonly #scopes: Storage[][] = [];
  /** What does not fit, while `planOnly` runs; null otherwise. */
  #planned: CapacityError[] | null = null;
  /** Buffers of the open lifetime; null outside one. */
  #owned: GPUBuffer[] | null = null;
  #batch: PreparedCommand[] = [];
  #lastKernel = "no kernel yet";
  #failure: GhostbatchError | null = null;
  #closing = false;
  readonly #checks = new Set<Promise<void>>();

  constructor(device: GPUDevice, adapter: AdapterFacts, source: ShaderSource) {
    this.device = device;
    this.adapter = adapter;
    const { subgroupMinSize, subgroupMaxSize } = adapter;
    const narrow =
      device.features.has("subgroups") && subgroupMinSize === NARROW && subgroupMaxSize === NARROW;
    const forced = env.variant();
    this.variant = forced === "narrow" || forced === "wide" ? forced : narrow ? "narrow" : "wide";
    this.#pool = new BufferPool((bytes, label) => this.createBuffer(bytes, STORAGE_USAGE, label));
    this.#staging = new BufferPool((bytes) => this.createBuffer(bytes, STAGING_USAGE, "read-back"));
    this.#constants = new ConstantBuffers(device, (bytes) =>
      this.createBuffer(bytes, UNIFORM_USAGE, "constants"),
    );
    this.pipelines = new Pipelines(device, source, {
      onCreate: (key) => {
        this.created.pipelines++;
        if (env.debugLevel() >= 4) console.error(`pipeline ${key}`);
      },
      onError: (check) => this.#watch(check),
    });
    device.onuncapturederror = ({ error }) =>
      this.#fail(new DeviceError(`${this.#lastKernel}: ${messageOf(error.message)}`));
    void device.lost.then((info) => {
      if (!this.#closing)
        this.#fail(
          new DeviceLostError(`device lost after ${this.#lastKernel}: ${info.message || info.reason}`),
        );
    });
  }

  /**
   * Runs a kernel: the one dispatch point. Eager outside a recording, an entry of the step inside one.
   * @throws DeviceError when the grid is larger than the adapter's, ShaderError when names do not fit the file
   */
  run<B extends string, O extends string, P extends string, S extends string>(
    kernel: Kernel<B, O, P, S>,
    launch: Launch<B, O, P, S>,
  ): void {
    if (this.#planned && !this.recorder) return;
    const command = { kernel, launch: launch as AnyLaunch };
    const limit = this.device.limits.maxComputeWorkgroupsPerDimension;
    const grid = command.launch.workgroups;
    if (
      grid.some((count) => count !== undefined && (count > limit || count < 1 || !Number.isInteger(count)))
    ) {
      throw new DeviceError(
        `${kernel.file}: a grid of ${grid.join(" × ")} workgroups, each side must be 1 to ${limit}`,
      );
    }
    if (this.recorder) {
      this.recorder.append(command);
      return;
    }
    this.#batch.push(this.prepare(command));
    if (this.#batch.length >= BATCH || env.debugLevel() >= 5) this.flush();
  }

  /** Pipeline, bind group and grid of a command, its parameters written. */
  prepare({ kernel, launch }: Command): PreparedCommand {
    const { pipeline, layout, shader } = this.pipelines.get(kernel, launch);
    this.#lastKernel = kernel.file;
    const entries = shader.bindings.map(({ name }, binding) => {
      if (name === "params")
        return { binding, resource: this.#constants.bind(packParams(shader.params, launch.params ?? {})) };
      const view = launch.buffers[name] as BufferView;
      const buffer = view.storage.buffer;
      if (!buffer)
        throw new DeviceError(
          `${kernel.file}: ${name} (${view.storage.label}) belongs to a recording and has no memory here`,
        );
      return {
        binding,
        resource: { buffer, offset: view.byteOffset, size: Math.ceil(view.byteLength / 4) * 4 },
      };
    });
    this.device.pushErrorScope("validation");
    const bindGroup = this.device.createBindGroup({ label: kernel.file, layout, entries });
    this.#popScope(kernel.file);
    this.created.bindGroups++;
    const [x, y = 1, z = 1] = launch.workgroups;
    return { pipeline, bindGroup, workgroups: [x, y, z] };
  }

  /** Submits commands in one compute pass; WebGPU orders them and makes each see what those before it wrote. */
  submit(commands: readonly PreparedCommand[], label: string): void {
    this.flush();
    this.#encode(commands, label);
  }

  /** Submits what was dispatched eagerly and not yet sent. */
  flush(): void {
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    this.#encode(batch, "eager");
  }

  #encode(commands: readonly PreparedCommand[], label: string): void {
    const encoder = this.device.createCommandEncoder({ label });
    const pass = encoder.beginComputePass();
    let current: GPUComputePipeline | null = null;
    for (const { pipeline, bindGroup, workgroups } of commands) {
      if (pipeline !== current) pass.setPipeline(pipeline);
      current = pipeline;
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(workgroups[0], workgroups[1], workgroups[2]);
    }
    pass.end();
    this.device.queue.submit([encoder.finish()]);
  }

  /**
   * Memory for a tensor: of the recording when one is open, else from the pool until the scope ends.
   * @throws CapacityError when it is larger than one binding of the adapter
   */
  allocate(bytes: number, label: string): Storage {
    this.#checkBinding(bytes, label);
    if (this.recorder) return this.recorder.allocate(bytes, label);
    const storage = new Storage(bytes, label, false, this.#pool.acquire(bytes, label));
    this.#scopes.at(-1)?.push(storage);
    return storage;
  }

  /**
   * Runs `body` without memory or work: persistent tensors get none, nothing is written or dispatched, and a persistent
   * tensor that the adapter cannot bind is listed instead of thrown. For plans of what may not fit.
   */
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

  /** Memory that outlives every scope and recording: parameters, data sets, counters. */
  allocatePersistent(bytes: number, label: string, usage: "storage" | "uniform" = "storage"): Storage {
    if (this.#planned) return new Storage(bytes, label, false, null);
    this.#checkBinding(bytes, label);
    const flags = usage === "uniform" ? UNIFORM_USAGE : STORAGE_USAGE;
    return new Storage(
      bytes,
      label,
      false,
      this.#own(this.createBuffer(Math.ceil(bytes / 4) * 4, flags, label)),
    );
  }

  /** Runs `body`; eager tensors made in it go back to the pool, except those of the views it returns. */
  scope<T extends BufferView | readonly BufferView[]>(body: () => T): T;
  scope(body: () => void): void;
  scope(body: () => unknown): unknown {
    const made: Storage[] = [];
    this.#scopes.push(made);
    try {
      const result = body();
      const views = [result ?? []].flat() as BufferView[];
      const kept = new Set(views.map((view) => view.storage));
      for (const storage of made) {
        if (kept.has(storage)) this.#scopes.at(-2)?.push(storage);
        else this.release(storage);
      }
      return result;
    } finally {
      this.#scopes.pop();
    }
  }

  /**
   * Runs `body` and destroys the persistent buffers made in it, arenas included: a run inside a process that makes
   * several. Tensors of `body` must not be used afterwards.
   */
  async lifetime<T>(body: () => Promise<T>): Promise<T> {
    const outer = this.#owned;
    this.#owned = [];
    try {
      return await body();
    } finally {
      this.flush();
      for (const buffer of this.#owned) {
        this.allocatedBytes -= buffer.size;
        buffer.destroy();
      }
      this.#owned = outer;
    }
  }

  /** Gives the memory of an eager tensor back to the pool. */
  release(storage: Storage): void {
    if (storage.buffer === null || storage.transient) return;
    this.flush();
    this.#pool.release(storage.buffer);
    storage.buffer = null;
  }

  /** Copies numbers to the GPU, in order with dispatches and replays. */
  write(view: BufferView, data: ArrayBufferView<ArrayBuffer>): void {
    if (this.#planned) return;
    this.flush();
    const buffer = view.storage.buffer;
    if (!buffer) throw new DeviceError(`${view.storage.label}: no memory to write to`);
    const whole = data.byteLength - (data.byteLength % 4);
    this.device.queue.writeBuffer(buffer, view.byteOffset, data.buffer, data.byteOffset, whole);
    if (whole < data.byteLength) {
      const tail = new Uint8Array(4);
      tail.set(new Uint8Array(data.buffer, data.byteOffset + whole, data.byteLength - whole));
      this.device.queue.writeBuffer(buffer, view.byteOffset + whole, tail);
    }
  }

  /** Copies the bytes of one view to another of the same length, in order with dispatches and replays. */
  copy(source: BufferView, target: BufferView): void {
    if (this.#planned) return;
    this.flush();
    const [read, written] = [source.storage.buffer, target.storage.buffer];
    if (!read || !written)
      throw new DeviceError(`copy of ${source.storage.label}: no memory outside its recording`);
    const encoder = this.device.createCommandEncoder({ label: "copy" });
    encoder.copyBufferToBuffer(read, source.byteOffset, written, target.byteOffset, source.byteLength);
    this.device.queue.submit([encoder.finish()]);
  }

  /** The bytes of a view once all work before is done. @throws what went wrong on the device meanwhile */
  async read(view: BufferView): Promise<ArrayBuffer> {
    this.flush();
    const source = view.storage.buffer;
    if (!source) throw new DeviceError(`${view.storage.label}: no memory to read from`);
    const size = Math.ceil(view.byteLength / 4) * 4;
    const staging = this.#staging.acquire(size, "read-back");
    const encoder = this.device.createCommandEncoder({ label: "read-back" });
    encoder.copyBufferToBuffer(source, view.byteOffset, staging, 0, size);
    this.device.queue.submit([encoder.finish()]);
    try {
      await staging.mapAsync(0x1, 0, size); // GPUMapMode.READ
    } catch (cause) {
      await this.#checked();
      throw new DeviceError(
        `reading ${view.storage.label} after ${this.#lastKernel}: ${(cause as Error).message}`,
        { cause },
      );
    }
    const copy = staging.getMappedRange(0, size).slice(0, view.byteLength);
    staging.unmap();
    this.#staging.release(staging);
    await this.#checked();
    return copy;
  }

  /** Waits until the GPU is idle. @throws what went wrong on the device meanwhile */
  async settle(): Promise<void> {
    this.flush();
    await this.device.queue.onSubmittedWorkDone();
    await this.#checked();
  }

  /** Lets the next read or settle wait for `work` that goes on beside the commands: the lines of DEBUG=2. */
  follow(work: Promise<unknown>): void {
    this.#watch(work);
  }

  /** Makes a buffer, counted; an allocation that fails is reported at the next await. */
  createBuffer(bytes: number, usage: number, label: string): GPUBuffer {
    const { maxBufferSize } = this.device.limits;
    if (bytes > maxBufferSize) {
      throw new CapacityError(
        `${label}: needs ${formatBytes(bytes)}, a buffer of ${this.adapter.name} holds ${formatBytes(maxBufferSize)}`,
      );
    }
    this.device.pushErrorScope("out-of-memory");
    const buffer = this.device.createBuffer({ size: bytes, usage, label });
    const total = this.allocatedBytes;
    this.#watch(
      this.device.popErrorScope().then((error) => {
        if (error)
          throw new DeviceError(
            `${label}: out of GPU memory: ${formatBytes(bytes)} do not fit beside the ${formatBytes(total)} in use; allow a step less (--memory, in MiB), take a smaller ghost or model, or end what else uses ${this.adapter.name}`,
          );
      }),
    );
    this.created.buffers++;
    this.allocatedBytes += bytes;
    if (env.debugLevel() >= 3)
      console.error(`allocate ${label} ${formatBytes(bytes)}, ${formatBytes(this.allocatedBytes)} in all`);
    return buffer;
  }

  /** A storage buffer for the arena of recordings. */
  createStorageBuffer(bytes: number, label: string): GPUBuffer {
    return this.#own(this.createBuffer(bytes, STORAGE_USAGE, label));
  }

  /** A buffer that the CPU can read once a copy into it is done. */
  createStagingBuffer(bytes: number, label: string): GPUBuffer {
    return this.#own(this.createBuffer(bytes, STAGING_USAGE, label));
  }

  #own(buffer: GPUBuffer): GPUBuffer {
    this.#owned?.push(buffer);
    return buffer;
  }

  destroy(): void {
    this.#closing = true;
    this.device.destroy();
  }

  #checkBinding(bytes: number, label: string): void {
    const limit = this.device.limits.maxStorageBufferBindingSize;
    if (bytes > limit) {
      throw new CapacityError(
        `${label}: needs ${formatBytes(bytes)}, but ${this.adapter.name} binds at most ${formatBytes(limit)} (take smaller slabs or ghosts, or an adapter with larger limits)`,
      );
    }
  }

  #popScope(label: string): void {
    this.#watch(
      this.device.popErrorScope().then((error) => {
        if (error) throw new DeviceError(`${label}: ${error.message}`);
      }),
    );
  }

  #watch(check: Promise<unknown>): void {
    const settled: Promise<void> = check.then(
      () => void this.#checks.delete(settled),
      (error) => {
        this.#checks.delete(settled);
        this.#fail(error instanceof GhostbatchError ? error : new DeviceError(String(error)));
      },
    );
    this.#checks.add(settled);
  }

  /** Keeps the first failure, but a shader's own over those that follow from it. */
  #fail(error: GhostbatchError): void {
    if (!this.#failure || (error instanceof ShaderError && !(this.#failure instanceof ShaderError)))
      this.#failure = error;
  }

  async #checked(): Promise<void> {
    await Promise.all(this.#checks);
    if (this.#failure) throw this.#failure;
  }
}

function packParams(
  fields: readonly { name: string; type: "u32" | "i32" | "f32" }[],
  values: Readonly<Record<string, number>>,
): Uint32Array<ArrayBuffer> {
  const words = new DataView(new ArrayBuffer(Math.ceil((fields.length * 4) / 16) * 16));
  for (const [index, { name, type }] of fields.entries()) {
    const value = values[name]!;
    if (type === "f32") words.setFloat32(index * 4, value, true);
    else if (type === "i32") words.setInt32(index * 4, value, true);
    else words.setUint32(index * 4, value, true);
  }
  return new Uint32Array(words.buffer);
}
