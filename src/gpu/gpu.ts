/**
 * The GPU of a run: a device, its memory, and `run`, the only place where anything is dispatched. Outside a
 * recording a dispatch joins a batch that is submitted before the next read, write or replay; inside one
 * (see recording.ts) it becomes an entry of the step that is replayed later.
 */
import { env } from "../support/env.ts";
import { type CapacityError, DeviceError } from "../support/errors.ts";
import type { AdapterFacts } from "./adapter.ts";
import { bindEntries } from "./bind-entries.ts";
import {
  type Command,
  type PreparedCommand,
  type Recorder,
  requireBuffers,
  requireGrid,
  type Timestamps,
} from "./command.ts";
import { ConstantBuffers } from "./constant-buffers.ts";
import { DeviceFailures } from "./failures.ts";
import type { AnyLaunch, Kernel, Launch } from "./kernel.ts";
import { DeviceMemory } from "./memory.ts";
import { Pipelines } from "./pipelines.ts";
import type { ShaderSource } from "./shader.ts";
import type { BufferView, Storage } from "./storage.ts";
import { submitCommands } from "./submit.ts";
import { copyView, readView, writeView } from "./transfer.ts";
import { Tuning } from "./tuning.ts";
import { type BaseVariant, runnableVariants, type Variant } from "./variant.ts";

/** Eager dispatches submitted together, at most; bounds the work in one command buffer. */
const BATCH = 128;

export class Gpu {
  readonly device: GPUDevice;
  readonly adapter: AdapterFacts;
  /** The variant of kernels in use: the one that the features suggest, until the host chooses. */
  variant: Variant;
  /** Whether launchers may choose kernels specialized for some shapes. Off when a user's kernel replaces the general one. */
  specialized = true;
  /** Which tiles launchers use for a shape: their defaults, until the host chooses. */
  tuning = new Tuning();
  readonly pipelines: Pipelines;
  readonly memory: DeviceMemory;
  readonly failures: DeviceFailures;
  recorder: Recorder | null = null;
  readonly #constants: ConstantBuffers;
  #batch: PreparedCommand[] = [];
  #heldBack: (() => void) | null = null;
  #closed = false;
  #createdBindGroups = 0;
  #createdPipelines = 0;

  constructor(device: GPUDevice, adapter: AdapterFacts, source: ShaderSource) {
    this.device = device;
    this.adapter = adapter;
    this.variant = runnableVariants({ device, adapter })[0];
    this.failures = new DeviceFailures(device);
    this.memory = new DeviceMemory(device, {
      adapterName: adapter.name,
      failures: this.failures,
      flush: () => this.flush(),
    });
    this.#constants = new ConstantBuffers(device, (bytes) => this.memory.createConstants(bytes));
    this.pipelines = new Pipelines(device, source, {
      onCreate: (kernel, key) => {
        this.#createdPipelines++;
        const level = env.debugLevel();
        if (level >= 1) console.error(`compile ${level >= 4 ? key : kernel.file}`);
      },
      onError: (check) => this.failures.watch(check),
    });
  }

  /** The variant used for kernels without a matrix variant. */
  get baseVariant(): BaseVariant {
    return this.variant === "matrix" ? "wide" : this.variant;
  }

  /** Number of objects created so far; a replayed step must not change it. */
  get created(): { readonly buffers: number; readonly bindGroups: number; readonly pipelines: number } {
    return {
      buffers: this.memory.createdBuffers,
      bindGroups: this.#createdBindGroups,
      pipelines: this.#createdPipelines,
    };
  }

  /** Bytes of all existing buffers. */
  get allocatedBytes(): number {
    return this.memory.allocatedBytes;
  }

  /**
   * Runs a kernel: the one dispatch point. Eager outside a recording, an entry of the step inside one.
   * @throws DeviceError when the grid is larger than the adapter's, or for a tensor that was freed or is on another device;
   * ShaderError when names do not fit the file
   */
  run<B extends string, O extends string, P extends string, S extends string>(
    kernel: Kernel<B, O, P, S>,
    launch: Launch<B, O, P, S>,
  ): void {
    if (this.memory.planning && !this.recorder) return;
    this.#requireOpen();
    this.#runHeldBack();
    const command = { kernel, launch: launch as AnyLaunch };
    requireBuffers(command, this.device);
    if (this.recorder) {
      requireGrid(command, this.device.limits);
      this.recorder.append(command);
      return;
    }
    this.#batch.push(this.prepare(command));
    if (this.#batch.length >= BATCH || env.debugLevel() >= 5) this.flush();
  }

  /**
   * Defers a dispatch, `work`, until just before the GPU's next operation, so that work keeps the order of calls. Until
   * then the op that follows may take it back with `takeBack`.
   */
  holdBack(work: () => void): void {
    this.#runHeldBack();
    this.#heldBack = work;
  }

  /** Takes back deferred work. Returns whether it was still waiting; if so, the caller must run it. */
  takeBack(work: () => void): boolean {
    if (this.#heldBack !== work) return false;
    this.#heldBack = null;
    return true;
  }

  #runHeldBack(): void {
    const work = this.#heldBack;
    this.#heldBack = null;
    work?.();
  }

  /**
   * Creates the pipeline, bind group and grid of a command, and writes its parameters.
   * @throws DeviceError when the grid is larger than the adapter's
   */
  prepare(command: Command): PreparedCommand {
    requireGrid(command, this.device.limits);
    const { kernel, launch } = command;
    const { pipeline, layout, shader } = this.pipelines.get(kernel, launch);
    const entries = bindEntries(command, shader, this.#constants, this.device);
    const bindGroup = this.failures.scope(
      "validation",
      () => this.device.createBindGroup({ label: kernel.file, layout, entries }),
      (error) => `${kernel.file}: ${error.message}`,
    );
    this.#createdBindGroups++;
    const [x, y = 1, z = 1] = launch.workgroups;
    return { file: kernel.file, pipeline, bindGroup, workgroups: [x, y, z] };
  }

  /** Submits commands after earlier eager dispatches; with `timestamps`, times each of them. */
  submit(commands: readonly PreparedCommand[], label: string, timestamps: Timestamps | null = null): void {
    this.#requireOpen();
    this.flush();
    submitCommands(this, commands, label, timestamps);
  }

  /** Submits eager dispatches not yet sent. While a step is recorded, adds deferred work to it. */
  flush(): void {
    this.#runHeldBack();
    if (this.#batch.length === 0) return;
    const batch = this.#batch;
    this.#batch = [];
    submitCommands(this, batch, "eager");
  }

  /**
   * Memory for a tensor: from the recording if one is open, else from the pool until the scope ends or, outside of scopes, the
   * lifetime. Outside of both, the caller must give it back with `gpu.memory.release`.
   * @throws CapacityError when it is larger than one binding of the adapter
   */
  allocate(bytes: number, label: string): Storage {
    this.#requireOpen();
    if (!this.recorder) return this.memory.allocate(bytes, label);
    this.memory.requireBindable(bytes, label);
    return this.recorder.allocate(bytes, label);
  }

  /** Memory that kernels only read: from the recording if one is open, which fills it once; else as from `allocate`. */
  constant(data: Uint32Array<ArrayBuffer>, label: string): Storage {
    this.#requireOpen();
    if (this.recorder) return this.recorder.constant(data, label);
    const storage = this.memory.allocate(data.byteLength, label);
    this.write({ storage, byteOffset: 0, byteLength: data.byteLength }, data);
    return storage;
  }

  /** Memory that outlives every scope and recording: parameters, data sets, counters. */
  allocatePersistent(bytes: number, label: string, usage: "storage" | "uniform" = "storage"): Storage {
    this.#requireOpen();
    return this.memory.allocatePersistent(bytes, label, usage);
  }

  /** Runs `body`. Eager tensors created in it return to the pool, except those of the views that it returns. */
  scope<T extends BufferView | readonly BufferView[]>(body: () => T): T;
  scope(body: () => void): void;
  scope(body: () => unknown): unknown {
    return this.memory.scope(body);
  }

  /**
   * Runs `body` and destroys the persistent buffers created in it, including arenas, e.g. for one run of a process that makes
   * several. Tensors of `body` must not be used afterwards.
   */
  lifetime<T>(body: () => Promise<T>): Promise<T> {
    return this.memory.lifetime(body);
  }

  /**
   * Runs `body` without memory or work: persistent tensors get none, nothing is written or dispatched, and a persistent
   * tensor that the adapter cannot bind is listed instead of throwing an error. For plans that may not fit.
   */
  planOnly<T>(body: () => T): { result: T; refused: readonly CapacityError[] } {
    return this.memory.planOnly(body);
  }

  /**
   * Copies numbers to the GPU, in order with dispatches and replays. With fewer bytes than the view has, the rest stays as it is.
   * @throws ShapeError for more bytes than the view has; DeviceError while a step is recorded: a replay would not repeat it
   */
  write(view: BufferView, data: ArrayBufferView<ArrayBuffer>): void {
    this.#refuseWhileRecording("write to", view);
    this.writeOnce(view, data);
  }

  /** As `write`, but allowed while a step is recorded. It happens once, at recording; replays do not repeat it. For facts about shapes. */
  writeOnce(view: BufferView, data: ArrayBufferView<ArrayBuffer>): void {
    if (this.memory.planning) return;
    this.#requireOpen();
    this.flush();
    writeView(this.device, view, data);
  }

  /**
   * Copies the bytes of one view to another of the same length, in order with dispatches and replays.
   * @throws ShapeError if the lengths differ; DeviceError while a step is recorded: a replay would not repeat it
   */
  copy(source: BufferView, target: BufferView): void {
    this.#refuseWhileRecording("copy to", target);
    if (this.memory.planning) return;
    this.#requireOpen();
    this.flush();
    copyView(this.device, source, target);
  }

  /**
   * The bytes of a view, after all earlier work is done.
   * @throws errors of the device since the last check; DeviceError while a step is recorded, when nothing has run yet
   */
  async read(view: BufferView): Promise<ArrayBuffer> {
    this.#refuseWhileRecording("read of", view);
    this.#requireOpen();
    this.flush();
    return readView(this, view);
  }

  /** Waits until the GPU is idle. @throws errors of the device since the last check */
  async settle(): Promise<void> {
    this.#requireOpen();
    this.flush();
    await this.device.queue.onSubmittedWorkDone();
    await this.failures.check();
  }

  /** Destroys the device and frees all of its memory, even while work is running. A second call does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#batch = [];
    this.failures.keep(closedError(this.adapter));
    this.device.destroy();
  }

  #refuseWhileRecording(what: string, { storage }: BufferView): void {
    if (!this.recorder) return;
    const error = new DeviceError(
      `${what} ${storage.label}: not possible inside record(), which records only dispatches; do it before recording or between replays`,
    );
    this.recorder.refuse(error);
    throw error;
  }

  #requireOpen(): void {
    if (this.#closed) throw closedError(this.adapter);
  }
}

function closedError({ name }: AdapterFacts): DeviceError {
  return new DeviceError(`the device of ${name} is closed; open a new one`);
}
