/** Checks for faults that correct results do not reveal: reads and writes out of bounds, reads of outputs, and results that differ from run to run. */
import type { Command } from "../gpu/command.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { AnyKernel } from "../gpu/kernel.ts";
import type { ShaderFile } from "../gpu/shader.ts";
import type { BufferView } from "../gpu/storage.ts";
import { readTensor, type Tensor } from "../tensor/tensor.ts";
import { runCommands, wordsOf } from "./check.ts";
import type { PreparedPass } from "./pass.ts";
import { POISON } from "./poison.ts";

export interface ProbeFinding {
  readonly kind:
    | "reads out of bounds"
    | "writes out of bounds"
    | "differs from run to run"
    | "reads before it writes";
  readonly message: string;
}

export interface ProbeCase {
  readonly label: string;
  readonly shader: ShaderFile;
  /** Whether its results are correct. */
  readonly right: boolean;
  /** Prepares the pass again and returns its commands. */
  prepare(): Promise<{ prepared: PreparedPass; commands: Command[] }>;
}

/** Number of identical runs to compare: a race that appears in one of ten runs appears in 7 runs half of the time. */
const RUNS = 7;
/** Values placed beyond the end of a buffer in turn: 0, 1e30 (any sum with it is far off), NaN (even times 0). */
const FILLERS = [0, 0x7149f2ca, 0x7fc00000] as const;
/** Values placed in outputs before a run in turn: ±1e30, which affect any sum, maximum or minimum. */
const OLD_NUMBERS = [0x7149f2ca, 0xf149f2ca] as const;
/** Numbers beyond the end: as many as in the buffer, within these limits. */
const PADDING = { least: 256, most: 2 ** 18 };

/** @param kernel the file to check; other dispatches of the pass are not changed */
export async function probe(gpu: Gpu, kernel: AnyKernel["file"], one: ProbeCase): Promise<ProbeFinding[]> {
  const differing = await gpu.lifetime(() => repeatRuns(gpu, one));
  if (differing) return [differing]; // the comparisons below would say the same
  const findings: ProbeFinding[] = [];
  // Unwritten elements show the previous contents.
  const before = one.right ? await readsBeforeItWrites(gpu, one) : null;
  if (before) findings.push(before);
  for (const { name, kind } of one.shader.bindings) {
    if (kind === "uniform") continue;
    const finding =
      kind === "read"
        ? await readsBeyond(gpu, kernel, name, one)
        : await gpu.lifetime(() => writesBeyond(gpu, kernel, name, one));
    if (finding) findings.push(finding);
  }
  return findings;
}

async function repeatRuns(gpu: Gpu, one: ProbeCase): Promise<ProbeFinding | null> {
  let first: Uint32Array[] | null = null;
  for (let run = 0; run < RUNS; run++) {
    const { prepared, commands } = await one.prepare();
    const words = (await runCommands(gpu, commands, prepared.outputs)).map(wordsOf);
    first ??= words;
    for (const [i, result] of words.entries()) {
      const count = differences(result, first[i]!);
      if (count === 0) continue;
      const { name } = prepared.outputs[i]!;
      const message = `${count} of ${result.length} elements of ${name} changed in run ${run + 1} with the same input (${one.label}): a race, or memory read before it is written`;
      return { kind: "differs from run to run", message };
    }
  }
  return null;
}

/** Runs it with other numbers in the outputs beforehand. Results that change were computed from them. */
async function readsBeforeItWrites(gpu: Gpu, one: ProbeCase): Promise<ProbeFinding | null> {
  const run = (old: number | null) =>
    gpu.lifetime(async () => {
      const { prepared, commands } = await one.prepare();
      if (old !== null) await leaveOldNumbers(gpu, one.shader, commands, old);
      const results = await runCommands(gpu, commands, prepared.outputs);
      return { names: prepared.outputs.map(({ name }) => name), words: results.map(wordsOf) };
    });
  const first = await run(null);
  for (const old of OLD_NUMBERS) {
    const other = await run(old);
    for (const [i, words] of other.words.entries()) {
      const count = differences(words, first.words[i]!);
      if (count === 0) continue;
      const message = `${count} of ${words.length} elements of ${first.names[i]} change with what stood in the outputs before (${one.label}): read there only what the kernel itself has written`;
      return { kind: "reads before it writes", message };
    }
  }
  return null;
}

/** Replaces every poison value in the outputs of a file's dispatches, which have not run yet, by a number. */
export async function leaveOldNumbers(
  gpu: Gpu,
  { path, bindings }: ShaderFile,
  commands: readonly Command[],
  old: number = OLD_NUMBERS[0],
): Promise<void> {
  const outputs = bindings.filter(({ kind }) => kind === "read_write");
  for (const { kernel, launch } of commands) {
    if (kernel.file !== path) continue;
    for (const { name } of outputs) {
      const view = launch.buffers[name] as BufferView;
      const words = new Uint32Array(await gpu.read(view));
      gpu.write(
        view,
        words.map((word) => (word === POISON ? old : word)),
      );
    }
  }
}

/** Runs it with other contents beyond the end of one input. Results that change were computed from them. */
async function readsBeyond(
  gpu: Gpu,
  kernel: string,
  binding: string,
  one: ProbeCase,
): Promise<ProbeFinding | null> {
  const run = (filler: number) =>
    gpu.lifetime(async () => {
      const { prepared, commands } = await one.prepare();
      const padded = commands.map((command) =>
        command.kernel.file === kernel ? withPadding(gpu, command, binding, filler).command : command,
      );
      const results = await runCommands(gpu, padded, prepared.outputs);
      return { names: prepared.outputs.map(({ name }) => name), words: results.map(wordsOf) };
    });
  const nothing = await run(FILLERS[0]);
  for (const filler of FILLERS.slice(1)) {
    const other = await run(filler);
    for (const [i, words] of other.words.entries()) {
      const count = differences(words, nothing.words[i]!);
      if (count === 0) continue;
      const message = `reads beyond the end of ${binding}: ${count} elements of ${nothing.names[i]} change with what stands there (${one.label})`;
      return { kind: "reads out of bounds", message };
    }
  }
  return null;
}

async function writesBeyond(
  gpu: Gpu,
  kernel: string,
  binding: string,
  one: ProbeCase,
): Promise<ProbeFinding | null> {
  const { prepared, commands } = await one.prepare();
  const tails: Tensor[] = [];
  const padded = commands.map((command) => {
    if (command.kernel.file !== kernel) return command;
    const { command: changed, tail } = withPadding(gpu, command, binding, POISON);
    tails.push(tail);
    return changed;
  });
  await runCommands(gpu, padded, prepared.outputs);
  for (const tail of tails) {
    const words = wordsOf(await readTensor(tail));
    const at = words.findIndex((word) => word !== POISON);
    if (at < 0) continue;
    const message = `writes beyond the end of ${binding}, at ${at} numbers past it (${one.label})`;
    return { kind: "writes out of bounds", message };
  }
  return null;
}

/** The command with one buffer replaced by a longer copy, with `filler` beyond the end; outputs go to the copy. */
function withPadding(
  gpu: Gpu,
  command: Command,
  binding: string,
  filler: number,
): { command: Command; tail: Tensor } {
  const view = command.launch.buffers[binding] as BufferView;
  const own = Math.ceil(view.byteLength / 4) * 4;
  const words = Math.min(PADDING.most, Math.max(PADDING.least, own / 4));
  const storage = gpu.allocatePersistent(own + 4 * words, `padded ${binding}`);
  const padded = { ...view, storage, byteOffset: 0, byteLength: own + 4 * words };
  gpu.copy({ ...view, byteLength: own }, { ...padded, byteLength: own });
  const tail = {
    storage,
    byteOffset: own,
    byteLength: 4 * words,
    gpu,
    shape: [words],
    dtype: "u32",
    size: words,
  } as const;
  gpu.write(tail, new Uint32Array(words).fill(filler));
  const launch = { ...command.launch, buffers: { ...command.launch.buffers, [binding]: padded } };
  return { command: { ...command, launch }, tail: { ...tail, gradient: null, requiresGradient: false } };
}

/** Number of different words. */
export function differences(one: Uint32Array, other: Uint32Array): number {
  let count = 0;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) count++;
  return count;
}
