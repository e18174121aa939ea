/**
 * Record once, replay. A step is recorded by running its TypeScript once: every dispatch becomes an entry of a
 * list, and every new tensor a storage without memory. The list shows when each storage is first and last
 * used, so memory is planned before any is allocated: storages that are not alive at the same time share a buffer.
 * A replay encodes the finished list in one compute pass; what differs from step to step is in small uniforms and
 * buffers that are written between replays.
 */
import { env } from "../support/env.ts";
import { DeviceError } from "../support/errors.ts";
import { type Command, encodeCommands, type PreparedCommand } from "./command.ts";
import { printDispatches, printUntimedDispatches } from "./dispatch-lines.ts";
import type { Gpu } from "./gpu.ts";
import type { Cost } from "./kernel.ts";
import { type DispatchTime, describeDispatch, hasTimestamps, measureDispatches } from "./profiler.ts";
import { roofline } from "./roofline.ts";
import { aligned, type BufferView, Storage } from "./storage.ts";

/** The code to record. The views that it returns keep their memory to the end of the step. */
type Body = (() => BufferView | readonly BufferView[]) | (() => void);

/** What a recorded step will need, known before any memory is allocated. */
export interface Plan {
  readonly dispatches: number;
  /** Bytes of the buffers that its tensors share. */
  readonly bytes: number;
  /** Size of each of these buffers, bytes. */
  readonly slots: readonly number[];
  /** Operations and bytes moved by one replay. */
  readonly cost: Cost;
  /** Floating-point operations per folder of shaders/. */
  readonly flopsByOperation: ReadonlyMap<string, number>;
}

interface Recorded {
  readonly commands: readonly Command[];
  readonly plan: Plan;
  readonly slotOf: ReadonlyMap<Storage, number>;
  readonly constants: ReadonlyMap<Storage, Uint32Array<ArrayBuffer>>;
}

/** Buffers shared by several recordings. Their steps run one after the other, so their scratch memory may overlap. */
export class Arena {
  readonly #gpu: Gpu;
  readonly #buffers: GPUBuffer[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** A buffer for each size: an existing one if large enough, else a new one. */
  assign(sizes: readonly number[]): GPUBuffer[] {
    const buffers = this.#buffers;
    return placesOf(sizes, buffers, (size) => {
      buffers.push(this.#gpu.memory.createPersistent(size, "storage", "arena"));
    }).map((place) => buffers[place]!);
  }
}

/** Bytes of an arena for recordings of these plans, made in this order. Putting the largest first needs the fewest. */
export function arenaBytes(plans: readonly Plan[]): number {
  const buffers: { size: number }[] = [];
  for (const { slots } of plans) placesOf(slots, buffers, (size) => void buffers.push({ size }));
  return buffers.reduce((sum, { size }) => sum + size, 0);
}

/** The largest size first, each in the smallest buffer that holds it and is free; `create` adds one at the end. */
function placesOf(
  sizes: readonly number[],
  buffers: readonly { readonly size: number }[],
  create: (size: number) => void,
): number[] {
  const unused = new Set(buffers.keys());
  const places = new Array<number>(sizes.length);
  for (const index of sizes.map((_, i) => i).sort((a, b) => sizes[b]! - sizes[a]!)) {
    const size = sizes[index]!;
    let best = -1;
    for (const place of unused) {
      const room = buffers[place]!.size;
      if (room >= size && (best < 0 || room < buffers[best]!.size)) best = place;
    }
    if (best < 0) best = buffers.length;
    if (best === buffers.length) create(size);
    unused.delete(best);
    places[index] = best;
  }
  return places;
}

export class Recording {
  readonly label: string;
  readonly plan: Plan;
  readonly #gpu: Gpu;
  readonly #commands: readonly Command[];
  readonly #prepared: readonly PreparedCommand[];
  /** Memory that is not the recording's own, with the kernel and the name it is bound to. */
  readonly #borrowed: ReadonlyMap<Storage, string>;

  constructor(gpu: Gpu, label: string, recorded: Recorded, prepared: readonly PreparedCommand[]) {
    this.#gpu = gpu;
    this.label = label;
    this.plan = recorded.plan;
    this.#commands = recorded.commands;
    this.#prepared = prepared;
    const bound = recorded.commands.flatMap(({ kernel, launch }) =>
      Object.entries(launch.buffers).map(
        ([name, { storage }]) => [storage, `${kernel.file}: ${name}`] as const,
      ),
    );
    this.#borrowed = new Map(bound.filter(([storage]) => !storage.transient));
  }

  /**
   * Submits the step again. Creates nothing; returns before the GPU has run it.
   * @throws DeviceError if a tensor that it uses was freed, since others may have that memory now
   */
  replay(): void {
    this.#requireUsable();
    if (env.debugLevel() < 2) this.#gpu.submit(this.#prepared, this.label);
    else if (hasTimestamps(this.#gpu))
      this.#gpu.failures.watch(this.#print()); // reported at the next read or settle
    else {
      // Waiting for each dispatch would let the next step's writes overtake the rest of this one.
      this.#gpu.submit(this.#prepared, this.label);
      printUntimedDispatches(this.#commands.map(describeDispatch), this.#gpu.adapter.name);
    }
  }

  /** Encodes the step in advance. The returned function submits it once, as `replay` would. */
  encode(): () => void {
    if (env.debugLevel() >= 2) return () => this.replay();
    const gpu = this.#gpu;
    const encoded = encodeCommands(gpu.device, this.#prepared, this.label);
    return () => {
      this.#requireUsable();
      gpu.flush();
      gpu.failures.lastKernel = this.#prepared.at(-1)?.file ?? gpu.failures.lastKernel;
      gpu.device.queue.submit([encoded]);
    };
  }

  #requireUsable(): void {
    for (const [storage, user] of this.#borrowed) storage.requireUsable(user, this.#gpu.device);
  }

  /** The dispatches of the step, each with a function that runs only it. For finding the one that fails. */
  get dispatches(): readonly { readonly command: Command; readonly run: () => void }[] {
    return this.#commands.map((command, index) => ({
      command,
      run: () => this.#gpu.submit([this.#prepared[index]!], command.kernel.file),
    }));
  }

  async #print(): Promise<void> {
    printDispatches(await this.profile(), await roofline(this.#gpu));
  }

  /** Fills the memory shared by the step's own tensors with zeros. */
  clearMemory(): void {
    const storages = this.#commands.flatMap(({ launch }) =>
      Object.values(launch.buffers).map(({ storage }) => storage),
    );
    const buffers = new Set(
      storages.flatMap(({ transient, buffer }) => (transient && buffer ? [buffer] : [])),
    );
    this.#gpu.flush();
    const encoder = this.#gpu.device.createCommandEncoder({ label: "clear" });
    for (const buffer of buffers) encoder.clearBuffer(buffer);
    this.#gpu.device.queue.submit([encoder.finish()]);
  }

  /** Runs the step and times every dispatch. */
  profile(): Promise<DispatchTime[]> {
    return measureDispatches(this.#gpu, this.#commands, this.#prepared);
  }
}

/** Records `body` without allocating memory: for `--dry-run` and for choosing a slab size. */
export function planRecording(gpu: Gpu, body: Body): Plan {
  return capture(gpu, body).plan;
}

/** The dispatches of `body` in order, recorded without allocating memory. They can be inspected or compiled, not run. */
export function listCommands(gpu: Gpu, body: Body): readonly Command[] {
  return capture(gpu, body).commands;
}

/**
 * Records `body`, gives its tensors memory from `arena`, and compiles its pipelines. The views that `body` returns
 * keep their memory to the end of the step, so they can be read after a replay.
 */
export async function record(gpu: Gpu, arena: Arena, label: string, body: Body): Promise<Recording> {
  const recorded = capture(gpu, body);
  await gpu.pipelines.compile(recorded.commands);
  const buffers = arena.assign(recorded.plan.slots);
  for (const [storage, slot] of recorded.slotOf) storage.buffer = buffers[slot]!;
  for (const [storage, data] of recorded.constants) {
    storage.buffer = gpu.memory.createPersistent(data.byteLength, "storage", storage.label);
    gpu.write({ storage, byteOffset: 0, byteLength: data.byteLength }, data);
  }
  const prepared = recorded.commands.map((command) => gpu.prepare(command));
  return new Recording(gpu, label, recorded, prepared);
}

function capture(gpu: Gpu, body: Body): Recorded {
  if (gpu.recorder) throw new DeviceError("a recording is already open: recordings cannot be nested");
  gpu.flush(); // earlier dispatches belong to no step
  const commands: Command[] = [];
  const storages = new Set<Storage>();
  const constants = new Map<Storage, Uint32Array<ArrayBuffer>>();
  const refused: Error[] = [];
  gpu.recorder = {
    append: (command) => void commands.push(command),
    allocate: (bytes, label) => {
      const storage = new Storage(gpu.device, { bytes: aligned(bytes), label, transient: true });
      storages.add(storage);
      return storage;
    },
    constant: (data, label) => {
      const storage = new Storage(gpu.device, { bytes: data.byteLength, label });
      constants.set(storage, data);
      return storage;
    },
    refuse: (error) => void refused.push(error),
  };
  let results: Set<Storage>;
  try {
    const returned: unknown = body();
    if (returned instanceof Promise) {
      returned.catch(() => {}); // its refusals are thrown below
      refused.push(new DeviceError("record: the body returned a promise; record a step synchronously"));
    }
    results = new Set(([returned ?? []].flat() as BufferView[]).map((view) => view.storage));
    gpu.flush();
  } finally {
    gpu.recorder = null;
  }
  if (refused[0]) throw refused[0];
  const { slots, slotOf } = planMemory(gpu, commands, storages, results);
  let flops = 0;
  let bytes = 0;
  const flopsByOperation = new Map<string, number>();
  for (const { kernel, launch } of commands) {
    flops += launch.cost.flops;
    bytes += launch.cost.bytes;
    const operation = kernel.file.split("/")[0]!;
    flopsByOperation.set(operation, (flopsByOperation.get(operation) ?? 0) + launch.cost.flops);
  }
  const total = slots.reduce((sum, size) => sum + size, 0);
  return {
    commands,
    slotOf,
    constants,
    plan: { dispatches: commands.length, bytes: total, slots, cost: { flops, bytes }, flopsByOperation },
  };
}

/** Walks the commands once. A storage takes the free slot nearest its size, which may grow, and frees it after its last use. */
function planMemory(gpu: Gpu, commands: readonly Command[], storages: Set<Storage>, results: Set<Storage>) {
  const last = new Map<Storage, number>();
  for (const [index, { launch }] of commands.entries()) {
    for (const view of Object.values(launch.buffers))
      if (storages.has(view.storage)) last.set(view.storage, index);
  }
  for (const storage of results) if (storages.has(storage)) last.set(storage, Number.POSITIVE_INFINITY);

  const slots: number[] = [];
  const slotOf = new Map<Storage, number>();
  const free = new Set<number>();
  for (const [index, { kernel, launch }] of commands.entries()) {
    const kinds = new Map(gpu.pipelines.shader(kernel).bindings.map(({ name, kind }) => [name, kind]));
    const used = new Set<Storage>();
    for (const [name, { storage }] of Object.entries(launch.buffers)) {
      if (!storages.has(storage)) continue;
      used.add(storage);
      if (slotOf.has(storage)) continue;
      if (kinds.get(name) !== "read_write") {
        throw new DeviceError(
          `${kernel.file}: reads ${name} (${storage.label}), which nothing in this step has written`,
        );
      }
      slotOf.set(storage, takeSlot(storage.bytes, slots, free));
    }
    for (const storage of used) if (last.get(storage) === index) free.add(slotOf.get(storage)!);
  }
  return { slots, slotOf };
}

function takeSlot(bytes: number, slots: number[], free: Set<number>): number {
  let best = -1;
  for (const slot of free) {
    if (best === -1 || Math.abs(slots[slot]! - bytes) < Math.abs(slots[best]! - bytes)) best = slot;
  }
  if (best === -1) return slots.push(bytes) - 1;
  free.delete(best);
  slots[best] = Math.max(slots[best]!, bytes);
  return best;
}
