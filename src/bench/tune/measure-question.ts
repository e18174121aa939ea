/** One question of a launcher to `gpu.tuning`: each way is checked against the default, then all are timed side by side. */
import type { Command } from "../../gpu/command.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { timeDispatches } from "../../gpu/profiler.ts";
import type { BufferView, Storage } from "../../gpu/storage.ts";
import type { Question, Way } from "../../gpu/tuning.ts";
import { closeness, largest, roundingBound } from "../../reference/close.ts";
import { messageOf, ShaderError } from "../../support/errors.ts";
import { quantile } from "../../support/statistics.ts";
import { numbers } from "../pass.ts";
import { type Summary, summarize } from "../sample.ts";

/** A way is taken if it is faster by this share in the median, and faster at all in three of four rounds. */
const LEAST_GAIN = 0.03;
/** Rounds, of which each runs every way once; at least so many, and no more than fit into the time. */
const ROUNDS = { least: 5, most: 25, ms: 1000 };

export interface MeasuredWay {
  readonly way: Way;
  /** Null for one that is wrong. */
  readonly ms: Summary | null;
  /** Median over rounds of its time to the default's in the same round. */
  readonly ratio: number;
  readonly problem: string | null;
}

export interface MeasuredQuestion {
  readonly key: string;
  /** The default first. */
  readonly ways: readonly MeasuredWay[];
  /** Null where the default stays. */
  readonly winner: Way | null;
}

/**
 * @param launches of each way, in the order of the question's; their buffers need no memory
 * @param enough whether to stop looking at further ways
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
    const faster = measured.filter(({ ratio }, index) => {
      const ratios = times[index]!.map((ms, round) => ms / times[0]![round]!);
      return index > 0 && ratio <= 1 - LEAST_GAIN && quantile(ratios, 0.75) < 1;
    });
    const [best] = faster.sort((a, b) => a.ratio - b.ratio);
    return { key, ways: [...measured, ...wrong], winner: best?.way ?? null };
  });
}

/**
 * The commands with buffers of their own, with the same numbers in the same places of every way: what one writes and the next
 * reads is one buffer, as in the step.
 */
function withMemory(gpu: Gpu, commands: readonly Command[]): Command[] {
  const made = new Map<Storage, Map<string, BufferView>>();
  return commands.map(({ kernel, launch }) => {
    const writable = gpu.pipelines.shader(kernel).bindings.filter(({ kind }) => kind === "read_write");
    const buffers = Object.entries(launch.buffers).map(([name, view], place) => {
      const places = made.get(view.storage) ?? new Map<string, BufferView>();
      made.set(view.storage, places);
      const range = `${view.byteOffset} ${view.byteLength}`;
      const own = places.get(range) ?? allocate(gpu, view.byteLength, name);
      if (!places.has(range)) {
        const written = writable.some((binding) => binding.name === name);
        const count = Math.ceil(view.byteLength / 4);
        gpu.write(own, written ? new Float32Array(count) : numbers(place + 1)(count));
      }
      places.set(range, own);
      return [name, own];
    });
    return { kernel, launch: { ...launch, buffers: Object.fromEntries(buffers) } };
  });
}

function allocate(gpu: Gpu, byteLength: number, label: string): BufferView {
  return { storage: gpu.allocatePersistent(byteLength, label), byteOffset: 0, byteLength };
}

/** The results of the commands, or what is wrong with them beside those expected. */
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
  const found = summedUp(new Float32Array(await gpu.read(last.launch.buffers[output]!)), results);
  if (expected === null) return found;
  const terms = Math.max(1, commands[0]!.launch.cost.flops / 2 / results);
  const bound = roundingBound({ terms, scale: largest(expected) });
  const { wrong, maxError } = closeness(found, expected, bound);
  if (wrong === 0) return found;
  return `${wrong} of ${results} results differ from the default's by up to ${maxError.toExponential(1)}, allowed ${bound.toExponential(1)}`;
}

/** Partial sums, of which there are as many as a way likes, added up; what stands behind the results (moments) is left out. */
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
