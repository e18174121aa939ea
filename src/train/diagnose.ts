/** Finds the origin of NaN and infinities: runs the steps again from a good state, and the bad one dispatch by dispatch. */
import type { Command } from "../gpu/command.ts";
import type { Recording } from "../gpu/recording.ts";
import type { BufferView } from "../gpu/storage.ts";
import { launchCountNonFinite } from "../kernels/non-finite.ts";
import type { ModelState } from "../nn/model-state.ts";
import { type DataType, persistent, readTensor, type Tensor } from "../tensor/tensor.ts";
import type { Trainer } from "./trainer.ts";

/** The first dispatch that increases the number of NaN or infinities in a tensor it writes. */
export interface NonFiniteSource {
  /** The step it belongs to, from 1. */
  readonly step: number;
  readonly kernel: string;
  /** The binding, and the tensor bound to it. */
  readonly output: string;
  /** The layer whose parameters the dispatch uses, or else that of the nearest earlier dispatch that uses any; null if there is none. */
  readonly layer: string | null;
}

/** Something that can run steps again, one by one. */
type Replayable = Pick<Trainer, "gpu" | "state" | "beginAt" | "submit" | "prepare" | "countNonFinite">;

interface Replay {
  readonly restore: () => void;
  readonly from: number;
  readonly to: number;
  readonly givenUp: () => boolean;
}

/**
 * Finds the first dispatch of steps `from` + 1 to `to` that writes a NaN or an infinity. The run cannot continue afterwards.
 *
 * @param restore puts the trainer into the state after `from` steps
 * @param badStep the step whose loss or gradient norm is not finite, from 1; null if only the state is not
 * @param givenUp whether to stop searching; called before each step
 * @returns null if the steps stay finite this time, i.e. gave different results, or if the search was given up
 */
export async function findNonFinite(
  trainer: Replayable,
  { badStep, ...replay }: Replay & { badStep: number | null },
): Promise<NonFiniteSource | null> {
  const { restore, from, to, givenUp } = replay;
  // A loss reveals parameters that the previous step has corrupted.
  const last = badStep === null ? to : badStep - 1;
  const step = (await firstBadState(trainer, { ...replay, to: last })) ?? badStep;
  if (step === null || givenUp()) return null;
  restore();
  trainer.beginAt(from);
  for (let before = from; before < step - 1; before++) {
    if (givenUp()) return null;
    await trainer.submit(before);
  }
  const found = await inspect(trainer, await trainer.prepare(step - 1));
  return found && { step, ...found };
}

/** The first step, from 1, after which a parameter or a running statistic is not finite. */
async function firstBadState(
  trainer: Replayable,
  { restore, from, to, givenUp }: Replay,
): Promise<number | null> {
  restore();
  trainer.beginAt(from);
  for (let step = from; step < to; step++) {
    if (givenUp()) return null;
    await trainer.submit(step);
    if ((await trainer.countNonFinite()) > 0) return step + 1;
  }
  return null;
}

async function inspect(
  trainer: Replayable,
  recording: Recording,
): Promise<Omit<NonFiniteSource, "step"> | null> {
  const { gpu, state } = trainer;
  const total = persistent(gpu, [1], { dtype: "u32", label: "non-finite" });
  const count = async (views: readonly (BufferView & { readonly dtype?: DataType })[]) => {
    gpu.write(total, new Uint32Array(1));
    for (const x of views) launchCountNonFinite({ x, total }, x.dtype === "f16" ? "f16" : "f32");
    return (await readTensor(total))[0]!;
  };
  // Leftovers of the failed run would hide what this step writes.
  recording.clearMemory();
  for (const { storage, size } of [
    state.gradients,
    ...(state.normState ? [state.normState.statistics] : []),
  ]) {
    gpu.write({ storage, byteOffset: 0, byteLength: 4 * size }, new Float32Array(size));
  }
  let layer: string | null = null;
  for (const { command, run } of recording.dispatches) {
    layer = layerOf(command, state) ?? layer;
    const outputs = floatOutputs(trainer, command);
    const views = outputs.map(([, view]) => view);
    // Memory is shared, so before its kernel has run a tensor may hold anything.
    const before = await count(views);
    run();
    if ((await count(views)) <= before) continue;
    for (const [name, view] of outputs) {
      if ((await count([view])) === 0) continue;
      const output = `${name}, ${view.storage.label}`;
      return { kernel: command.kernel.file, output, layer: (await layerWithin(view, state, count)) ?? layer };
    }
  }
  return null;
}

/** For the flat parameters, the first layer with a non-finite one; null for any other tensor. */
async function layerWithin(
  { storage, byteLength }: BufferView,
  { parameters, values, velocity, gradients }: ModelState,
  count: (views: readonly BufferView[]) => Promise<number>,
): Promise<string | null> {
  const flat = [values, velocity, gradients].find((tensor) => tensor.storage === storage);
  if (byteLength !== flat?.byteLength) return null;
  for (const [name, { value }] of parameters) {
    const { byteOffset, byteLength: bytes } = value;
    if ((await count([{ storage, byteOffset, byteLength: bytes }])) > 0) return moduleOf(name);
  }
  return null;
}

/** The tensors of floats that a dispatch writes. */
function floatOutputs({ gpu }: Replayable, { kernel, launch }: Command): [string, Tensor][] {
  return gpu.pipelines.shader(kernel).bindings.flatMap(({ name, kind }): [string, Tensor][] => {
    const view = launch.buffers[name] as Tensor | undefined;
    const isFloat = view?.dtype === "f32" || view?.dtype === "f16";
    return kind === "read_write" && isFloat ? [[name, view]] : [];
  });
}

/** The module whose parameter, or whose parameter's gradient, a dispatch binds. */
function layerOf({ launch }: Command, { parameters, values, gradients }: ModelState): string | null {
  const flat = new Set([values.storage, gradients.storage]);
  const whole = Math.max(values.byteLength, gradients.byteLength);
  for (const view of Object.values(launch.buffers)) {
    if (!flat.has(view.storage) || view.byteLength === whole) continue;
    const entry = parameters.find(([, { value }]) => value.byteOffset === view.byteOffset);
    if (entry) return moduleOf(entry[0]);
  }
  return null;
}

function moduleOf(parameter: string): string {
  return parameter.replace(/\.[^.]*$/, "");
}
