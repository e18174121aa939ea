/**
 * The state from which training continues. All randomness is a function of (seed, epoch, sample) and every schedule one of the
 * step, so the position is one number; the rest is the contents of a few buffers.
 */
import type { Gpu } from "../gpu/gpu.ts";
import { Snapshot } from "../gpu/snapshot.ts";
import { type ModelState, resetVelocity } from "../nn/model-state.ts";
import { DataError } from "../support/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { StepLog } from "./step-log.ts";

/** A run's progress, without its tensors: plain JSON. */
export interface Position {
  /** Completed steps. */
  readonly step: number;
  /** Steps whose metrics have been read back; those of later steps are still in the log. */
  readonly read: number;
  /** Later steps whose distances have been measured, in order. */
  readonly distanceSteps: readonly number[];
}

export const START: Position = { step: 0, read: 0, distanceSteps: [] };

export type StateTensors = ReadonlyMap<string, Float32Array<ArrayBuffer>>;

/** Copies the state of a run to the CPU while steps run, and back. */
export class StateKeeper {
  readonly #state: ModelState;
  readonly #tensors: readonly (readonly [name: string, tensor: Tensor])[];
  readonly #logs: readonly Tensor[];
  readonly #gpu: Gpu;
  /** Created on first use: many runs end before their first checkpoint. */
  #snapshot: Snapshot | null = null;
  /** Memory to reuse: with a checkpoint every few seconds, garbage collection would lag behind. */
  #spare: StateTensors | null = null;

  constructor(state: ModelState, log: StepLog) {
    const { values, velocity, start, normState } = state;
    this.#gpu = state.gpu;
    this.#state = state;
    this.#logs = [log.steps, log.measurements];
    this.#tensors = [
      ["values", values],
      ["velocity", velocity],
      ["start", start],
      ...(normState
        ? ([
            ["running_mean", normState.runningMean],
            ["running_variance", normState.runningVariance],
          ] as const)
        : []),
      ["log", log.steps],
      ["measurements", log.measurements],
    ];
  }

  /** Resolves when `take` may be called again. */
  async idle(): Promise<void> {
    await this.#snapshot?.idle();
  }

  /** The state after all steps submitted so far. The steps do not wait for it. */
  async take(): Promise<StateTensors> {
    this.#snapshot ??= new Snapshot(
      this.#gpu,
      this.#tensors.map(([, tensor]) => tensor),
    );
    const spare = this.#spare;
    this.#spare = null;
    const parts = await this.#snapshot.take(spare && [...spare.values()].map(({ buffer }) => buffer));
    return spare ?? new Map(this.#tensors.map(([name], index) => [name, new Float32Array(parts[index]!)]));
  }

  /** Returns a result of `take` that is no longer in use; the next `take` overwrites it. */
  giveBack(tensors: StateTensors): void {
    this.#spare = tensors;
  }

  /** @throws DataError naming `source` when a tensor is missing or of another size than this model's */
  restore(kept: ReadonlyMap<string, ArrayLike<unknown>>, source: string): void {
    for (const [name, { size }] of this.#tensors) {
      const data = kept.get(name);
      if (data instanceof Float32Array && data.length === size) continue;
      throw new DataError(`${source}: expected ${size} values of ${name}, found ${data?.length ?? "none"}`);
    }
    for (const [name, tensor] of this.#tensors)
      this.#gpu.write(tensor, kept.get(name) as Float32Array<ArrayBuffer>);
  }

  /** The state before the first step. */
  restart(): void {
    const { gpu, start, values, normState } = this.#state;
    gpu.copy(start, values);
    resetVelocity(this.#state);
    for (const log of this.#logs) gpu.write(log, new Float32Array(log.size));
    if (!normState) return;
    gpu.write(normState.runningMean, new Float32Array(normState.channels));
    gpu.write(normState.runningVariance, new Float32Array(normState.channels).fill(1));
  }
}

/** Whether parameters, velocity and running statistics are all finite. Only such a state is worth saving. */
export function isFiniteState(tensors: StateTensors): boolean {
  const kept = ["values", "velocity", "running_mean", "running_variance"].flatMap(
    (name) => tensors.get(name) ?? [],
  );
  return kept.every(isFiniteArray);
}

/** Tests the bits: a plain loop over words is several times faster than a callback, and there may be millions. */
function isFiniteArray(data: Float32Array<ArrayBuffer>): boolean {
  const words = new Uint32Array(data.buffer, data.byteOffset, data.length);
  for (let i = 0; i < words.length; i++) if ((words[i]! & 0x7f800000) === 0x7f800000) return false;
  return true;
}
