/** One question of a launcher to `gpu.tuning`: each way is checked against the default, then all are timed side by side. */
import type { Command } from "../../gpu/command.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { timeDispatches } from "../../gpu/profiler.ts";
import type { BufferView, Storage } from "../../gpu/storage.ts";
import type { Question, Way } from "../../gpu/tuning.ts";
import { closeness, largest, roundingBound } from "../../reference/close.ts";
import { messageOf, ShaderError } from "../../support/errors.ts";
import { float16Bits, float16Step, fromFloat16Bits, roundToFloat16 } from "../../support/float16.ts";
import { quantile } from "../../support/statistics.ts";
import type { FloatType, Tensor } from "../../tensor/tensor.ts";
import { numbers } from "../pass.ts";
import { type Summary, summarize } from "../sample.ts";
import { isFaster, ROUNDS } from "./rounds.ts";

export interface MeasuredWay {
  readonly way: Way;
  /** Null for one that is wrong. */
  readonly ms: Summary | null;
  /** Median over rounds of its time divided by the default's in the same round. */
  readonly ratio: number;
  readonly problem: string | null;
}

export interface MeasuredQuestion {
  readonly key: string;
  /** The default first. */
  readonly ways: readonly MeasuredWay[];
  /** Null if the default stays. */
  readonly winner: Way | null;
}

/**
 * @param launches one for each way, in the order of the question; their buffers need no memory
 * @param enough whether to stop before further ways
 */
export function measureQuestion(
  gpu: Gpu,
  { key, ways, results }: Question,
  launches: readonly (readonly Command[])[],
  enough: () => boolean,
): Promise<MeasuredQuestion> {
  return gpu.lifetime(async () => {
    const right: { way: Way; commands: readonly Command[] }[] = [];
    const wrong: MeasuredWay[] = [];
    let expected: Float64Array | null = null;
    for (const [index, way] of ways.entries()) {
      if (index > 0 && enough()) break;
      const commands = withMemory(gpu, launches[index]!);
      const problem = await problemOf(gpu, commands, results, expected);
      if (typeof problem === "string") {
        wrong.push({ way, ms: null, ratio: Number.POSITIVE_INFINITY, problem });
        continue;
      }
      expected ??= problem;
      right.push({ way, commands });
    }
    const times = await timesSideBySide(
      gpu,
      right.map(({ commands }) => commands),
    );
    const measured = right.map(({ way }, index): MeasuredWay => {
      const ratios = times[index]!.map((ms, round) => ms / times[0]![round]!);
      return { way, ms: summarize(times[index]!), ratio: quantile(ratios, 0.5), problem: null };
    });
    const faster = measured.filter((_, index) => {
      const ratios = times[index]!.map((ms, round) => ms / times[0]![round]!);
      return index > 0 && isFaster(ratios);
    });
    const [best] = faster.sort((a, b) => a.ratio - b.ratio);
    return { key, ways: [...measured, ...wrong], winner: best?.way ?? null };
  });
}

/**
 * The commands with separate buffers, which hold the same numbers for every way. If one command writes what the next reads, they share a
 * buffer, as in the step.
 */
function withMemory(gpu: Gpu, commands: readonly Command[]): Command[] {
  const made = new Map<Storage, Map<string, BufferView>>();
  return commands.map(({ kernel, launch }) => {
    const stored = Object.values(launch.buffers).some(isFloat16) ? "f16" : "f32";
    const writable = gpu.pipelines.shader(kernel).bindings.filter(({ kind }) => kind === "read_write");
    const buffers = Object.entries(launch.buffers).map(([name, view], place) => {
      const places = made.get(view.storage) ?? new Map<string, BufferView>();
      made.set(view.storage, places);
      const range = `${view.byteOffset} ${view.byteLength}`;
      const own = places.get(range) ?? allocate(gpu, view, name);
      if (!places.has(range)) {
        const written = writable.some((binding) => binding.name === name);
        gpu.write(own, contentsOf(view, written ? null : place, stored));
      }
      places.set(range, own);
      return [name, own];
    });
    return { kernel, launch: { ...launch, buffers: Object.fromEntries(buffers) } };
  });
}

/** A view of the same length, and of the same type if that is known, since launchers pass tensors. */
function allocate(gpu: Gpu, view: BufferView, label: string): BufferView {
  const { byteLength } = view;
  return { ...view, storage: gpu.allocatePersistent(byteLength, label), byteOffset: 0, byteLength };
}

function isFloat16(view: BufferView): boolean {
  return (view as Partial<Tensor>).dtype === "f16";
}

/**
 * Zeros for a buffer that is written, else random numbers.
 * @param stored the type of the launch's activations: if f16, all numbers are f16 numbers, since some ways round weights
 */
function contentsOf(view: BufferView, place: number | null, stored: FloatType) {
  const count = Math.ceil(view.byteLength / (isFloat16(view) ? 2 : 4));
  const even = isFloat16(view) ? 2 * Math.ceil(count / 2) : count; // whole words
  const values = place === null ? new Float32Array(even) : numbers(place + 1)(even);
  if (isFloat16(view)) return float16Bits(values);
  return stored === "f16" ? values.map(roundToFloat16) : values;
}

/** The results of the commands, or how they differ from those expected. */
async function problemOf(
  gpu: Gpu,
  commands: readonly Command[],
  results: number,
  expected: Float64Array | null,
): Promise<Float64Array | string> {
  try {
    await gpu.pipelines.compile(commands);
  } catch (error) {
    if (!(error instanceof ShaderError)) throw error;
    return messageOf(error);
  }
  for (const { kernel, launch } of commands) gpu.run(kernel, launch as Parameters<Gpu["run"]>[1]);
  const last = commands.at(-1)!;
  const bindings = gpu.pipelines.shader(last.kernel).bindings;
  const output = bindings.find(({ kind }) => kind === "read_write")!.name;
  const view = last.launch.buffers[output]!;
  const read = await gpu.read(view);
  const half = isFloat16(view);
  const found = summedUp(half ? fromFloat16Bits(new Uint16Array(read)) : new Float32Array(read), results);
  if (expected === null) return found;
  const terms = Math.max(1, commands[0]!.launch.cost.flops / 2 / results);
  const scale = largest(expected);
  const bound = roundingBound({ terms, scale }) + (half ? float16Step(scale) : 0);
  const { wrong, maxError } = closeness(found, expected, bound);
  if (wrong === 0) return found;
  return `${wrong} of ${results} results differ from the default's by up to ${maxError.toExponential(1)}, allowed ${bound.toExponential(1)}`;
}

/** Adds up partial sums, whose number depends on the way; what follows the results (moments) is left out. */
function summedUp(values: Float32Array, results: number): Float64Array {
  const sum = new Float64Array(results);
  const parts = values.length % results === 0 ? values.length / results : 1;
  for (let part = 0; part < parts; part++)
    for (let i = 0; i < results; i++) sum[i] += values[part * results + i]!;
  return sum;
}

/** Times of each list of commands in each round, ms; a round runs all lists one after the other. */
async function timesSideBySide(gpu: Gpu, lists: readonly (readonly Command[])[]): Promise<number[][]> {
  const prepared = lists.map((commands) => commands.map((command) => gpu.prepare(command)));
  const round = prepared.flat();
  await timeDispatches(gpu, round); // the first run compiles on some drivers
  const begin = performance.now();
  await timeDispatches(gpu, round);
  const ms = performance.now() - begin;
  const rounds = Math.max(ROUNDS.least, Math.min(ROUNDS.most, Math.floor(ROUNDS.ms / ms)));
  const times = lists.map((): number[] => []);
  for (let i = 0; i < rounds; i++) {
    const measured = await timeDispatches(gpu, round);
    let at = 0;
    for (const [index, commands] of lists.entries()) {
      times[index]!.push(measured.slice(at, at + commands.length).reduce((sum, one) => sum + one, 0));
      at += commands.length;
    }
  }
  return times;
}
