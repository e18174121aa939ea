/** The emulator of wgsl_reflect: runs the lanes of a workgroup in parallel, without a GPU. */
import { messageOf } from "../support/errors.ts";

export interface Access {
  readonly invocation: number;
  readonly kind: "read" | "write";
  readonly line: number;
  /** What was written, as text. */
  readonly value?: string;
}

export interface Race {
  readonly bufferId: string;
  readonly a: Access;
  readonly b: Access;
}

export interface Emulation {
  readonly races: readonly Race[];
  /** Barriers that not all lanes reach, and what the emulator could not do. */
  readonly errors: readonly string[];
}

/** The buffers of group 0 for the emulator, by number. */
export type BoundBuffers = Readonly<Record<number, ArrayBufferLike | { readonly uniform: ArrayBufferLike }>>;

/** An emulation that needs more than the remaining time, or too much memory. */
export class EmulationTooLong extends Error {}

/** The parts of the package's module that are used here. */
interface EmulatorModule {
  detectRaces(
    code: string,
    entryPoint: string,
    grid: readonly number[],
    buffers: Readonly<Record<number, BoundBuffers>>,
  ): Emulation;
  readonly WgslDebug: { readonly prototype: { stepStack(...rest: unknown[]): unknown } };
  readonly MemoryTracker: { readonly prototype: Tracker };
  readonly TrackedTypedData: { readonly prototype: Tracked };
}

interface Tracker {
  record(buffer: string, offset: number, size: number, kind: "read" | "write", atomic: boolean): void;
  readonly _phase: { value?: string }[];
  written?: string;
}

interface Tracked {
  setDataValue(exec: unknown, value: unknown, ...rest: unknown[]): void;
  readonly _tracker: Tracker;
}

/** The most accesses between two barriers; comparing all pairs of this many takes about a second. */
const MOST_ACCESSES = 2 ** 14;
/** Steps of a lane between two checks of the clock. */
const STEPS = 256;

let deadline = Number.POSITIVE_INFINITY;

/** Null where the package is not installed. */
export async function loadEmulator(): Promise<Emulator | null> {
  const name = "wgsl_reflect/wgsl_reflect.module.js";
  const module: EmulatorModule | null = await import(name).catch(() => null);
  if (!module) return null;
  instrument(module);
  return new Emulator(module);
}

export class Emulator {
  readonly #module: EmulatorModule;

  constructor(module: EmulatorModule) {
    this.#module = module;
  }

  /**
   * Runs workgroups of a kernel in sequence.
   * @param complaints receives what the emulator prints to the console, which is how it reports what it cannot do
   * @throws EmulationTooLong, and what the emulator throws for code that it does not support
   */
  run(
    one: {
      code: string;
      entryPoint: string;
      grid: readonly number[];
      buffers: BoundBuffers;
      limitMs: number;
    },
    complaints: string[],
  ): Emulation {
    const { error, warn } = console;
    const listen = (...parts: unknown[]) => void complaints.push(parts.map(messageOf).join(" "));
    Object.assign(console, { error: listen, warn: listen });
    deadline = performance.now() + one.limitMs;
    try {
      return this.#module.detectRaces(one.code, one.entryPoint, one.grid, { 0: one.buffers });
    } finally {
      deadline = Number.POSITIVE_INFINITY;
      Object.assign(console, { error, warn });
    }
  }
}

const instrumented = new WeakSet<EmulatorModule>();

/** Records accesses with the written value, and ends an emulation that takes too long. */
function instrument(module: EmulatorModule): void {
  if (instrumented.has(module)) return;
  instrumented.add(module);
  const { WgslDebug, MemoryTracker, TrackedTypedData } = module;
  const { record } = MemoryTracker.prototype;
  MemoryTracker.prototype.record = function (this: Tracker, buffer, offset, size, kind, atomic) {
    if (this._phase.length >= MOST_ACCESSES) throw new EmulationTooLong();
    record.call(this, buffer, offset, size, kind, atomic);
    if (kind === "write" && this.written !== undefined) this._phase.at(-1)!.value = this.written;
  };
  const { setDataValue } = TrackedTypedData.prototype;
  TrackedTypedData.prototype.setDataValue = function (this: Tracked, exec, value, ...rest) {
    this._tracker.written = String(value);
    setDataValue.call(this, exec, value, ...rest);
  };
  const { stepStack } = WgslDebug.prototype;
  let steps = 0;
  WgslDebug.prototype.stepStack = function (this: unknown, ...rest) {
    if (++steps % STEPS === 0 && performance.now() > deadline) throw new EmulationTooLong();
    return stepStack.apply(this, rest);
  };
}
