/** Finds races within a workgroup without a GPU: an emulator runs its lanes in parallel. */
import type { Command } from "../gpu/command.ts";
import { packParams } from "../gpu/constant-buffers.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { AnyLaunch } from "../gpu/kernel.ts";
import { aliased, type ShaderFile } from "../gpu/shader.ts";
import type { BufferView } from "../gpu/storage.ts";
import { WgslSource } from "../gpu/wgsl-source.ts";
import { tokenize } from "../gpu/wgsl-tokens.ts";
import { messageOf, ShaderError } from "../support/errors.ts";
import { emulatable, emulatedName, withoutBarrier } from "./emulatable.ts";
import { type Access, type BoundBuffers, EmulationTooLong, type Emulator, loadEmulator } from "./emulator.ts";

export interface RaceReport {
  readonly findings: readonly string[];
  readonly notes: readonly string[];
}

/** A dispatch that is small enough to emulate, with the contents of its buffers before it ran. */
export interface SmallDispatch {
  readonly launch: AnyLaunch;
  readonly contents: ReadonlyMap<string, Uint32Array<ArrayBuffer>>;
}

/** Limits of operations and numbers for a dispatch to be small, since the emulator runs every lane in JavaScript. */
const SMALL = { flops: 2 ** 16, numbers: 2 ** 16 };
/** Grids of at most this many workgroups are emulated completely; of larger ones, only the first workgroup. */
const WHOLE_GRID = 8;
/** Time limit for these workgroups, ms. */
const PATIENCE_MS = 4000;
/** The most races of one kind to report. */
const TOLD = 1;
/** Each barrier orders accesses to only one kind of memory (WGSL, "Synchronization Built-in Functions"). */
const BARRIERS = [
  { forget: "storageBarrier", memory: "workgroup" },
  { forget: "workgroupBarrier", memory: "storage" },
] as const;

/** What is needed to emulate a dispatch that is about to run; null if it is too large. */
export async function smallDispatch(gpu: Gpu, { launch }: Command): Promise<SmallDispatch | null> {
  const { cost, buffers } = launch;
  const numbers = Object.values(buffers).reduce((sum, { byteLength }) => sum + byteLength / 4, 0);
  if (cost.flops > SMALL.flops || numbers > SMALL.numbers) return null;
  const contents = new Map<string, Uint32Array<ArrayBuffer>>();
  for (const [name, view] of Object.entries<BufferView>(buffers)) {
    const bytes = await gpu.read(view);
    contents.set(name, new Uint32Array(bytes.slice(0, bytes.byteLength - (bytes.byteLength % 4))));
  }
  return { launch, contents };
}

/**
 * Whether two lanes of a workgroup touch the same bytes between two barriers, one of them writing.
 * @param dispatches the kernel's, with valid inputs
 * @param patienceMs time limit of the emulation
 */
export async function lookForRaces(
  shader: ShaderFile,
  entryPoint: string,
  dispatches: readonly SmallDispatch[],
  patienceMs = PATIENCE_MS,
): Promise<RaceReport> {
  const notLooked = (why: string): RaceReport => ({
    findings: [],
    notes: [`races: not looked for, because ${why}`],
  });
  const small = dispatches.toSorted((a, b) => a.launch.cost.flops - b.launch.cost.flops);
  if (small.length === 0) return notLooked("no case is small enough to emulate");
  const emulator = await loadEmulator();
  if (!emulator) return notLooked("the package wgsl_reflect is not installed (npm install)");
  const unknown = beyondEmulation(shader);
  if (unknown) return notLooked(`the emulator does not know ${unknown}`);
  const end = performance.now() + patienceMs;
  const findings = new Set<string>();
  let looked = 0;
  for (const dispatch of small) {
    const limitMs = end - performance.now();
    if (limitMs <= 0) break;
    try {
      for (const message of racesOf(emulator, { shader, entryPoint, dispatch, limitMs }))
        findings.add(message);
    } catch (error) {
      if (error instanceof EmulationTooLong) break;
      return notLooked(`the emulator does not run this kernel${whyNot(shader, error)}`);
    }
    looked++;
    if (findings.size > 0) break;
  }
  if (looked === 0) return notLooked("emulating the smallest case takes too long");
  const notes: string[] = [];
  const unfollowed = (names: readonly string[], why: string) => {
    if (names.length > 0)
      notes.push(`races: not looked for in ${names.join(", ")}, because the emulator ${why}`);
  };
  unfollowed(singleNumbers(shader), "follows arrays and structs alone");
  unfollowed(pointedAt(shader), "does not follow pointers");
  const left = small.length - looked;
  if (left > 0)
    notes.push(
      `races: looked for in ${looked} of ${small.length} small cases, because emulating more takes too long`,
    );
  return { findings: [...findings], notes: findings.size > 0 ? [] : notes };
}

/** Where the emulator stopped: a line of the file, if it names one. */
function whyNot({ source }: ShaderFile, error: unknown): string {
  if (error instanceof ShaderError) return ` (${error.message})`;
  const line = /\bline:? (\d+)/i.exec(messageOf(error))?.[1];
  return line === undefined ? "" : `: it stops at ${source.lineOf(Number(line))}`;
}

/** Workgroup variables that are one number or vector; atomic ones cannot race. */
function singleNumbers({ declarations: { variables, structs, values } }: ShaderFile): string[] {
  const followed = (type: string) =>
    /^(array|atomic)</.test(type) || structs.some((struct) => struct.name === type);
  return variables
    .filter(({ space, type }) => space === "workgroup" && !followed(aliased(type, values)))
    .map(({ name }) => name);
}

/** Shared variables to which there is a pointer, other than for atomic functions. */
function pointedAt({ tokens: { tokens }, declarations: { variables } }: ShaderFile): string[] {
  const text = (index: number) => tokens[index]?.text;
  return variables
    .filter(({ space }) => space === "workgroup" || space === "storage")
    .map(({ name }) => name)
    .filter((name) =>
      tokens.some(
        (token, i) =>
          token.text === name &&
          text(i - 1) === "&" &&
          /^[(,=]$/.test(text(i - 2) ?? "") &&
          !/^(atomic[A-Z]|arrayLength$)/.test(text(i - 3) ?? ""),
      ),
    );
}

/** A feature in the file that the emulator silently ignores, or gets wrong. */
function beyondEmulation({ tokens: { tokens }, declarations }: ShaderFile): string | undefined {
  const word = tokens.find(
    ({ text }) => /^(subgroup|quad)[A-Z]/.test(text) || text === "workgroupUniformLoad" || text === "enable",
  );
  if (word) return word.text;
  // The emulator shares them between lanes.
  const ownOfLane = declarations.variables.find(({ space }) => space === "private");
  if (ownOfLane) return `private variables such as ${ownOfLane.name}`;
  // The emulator loses what the inner one returns.
  const helpers = declarations.functions.filter(({ stage }) => stage === null);
  for (const { name, body } of helpers) {
    const inner = tokens.slice(...body).find((token, i) => {
      const called = tokens[body[0] + i + 1]?.text === "(";
      return called && helpers.some((helper) => helper.name === token.text);
    });
    if (inner) return `functions that call functions, as ${name} calls ${inner.text}`;
  }
  return undefined;
}

interface EmulatedDispatch {
  readonly shader: ShaderFile;
  readonly entryPoint: string;
  readonly dispatch: SmallDispatch;
  readonly limitMs: number;
}

/** @throws EmulationTooLong, or an error about what the emulator cannot do */
function racesOf(emulator: Emulator, { shader, entryPoint, dispatch, limitMs }: EmulatedDispatch): string[] {
  const { launch, contents } = dispatch;
  const code = emulatable(shader, launch);
  const { tokens } = tokenize(new WgslSource([{ path: shader.path, text: code }]));
  const shared = new Set(
    shader.declarations.variables.filter(({ space }) => space === "workgroup").map((one) => one.name),
  );
  const findings: string[] = [];
  for (const { forget, memory } of BARRIERS) {
    const uses = tokens.some(({ text }) => text === forget);
    if (memory === "workgroup" && shared.size === 0) continue;
    const { bound, outputs } = buffersOf(shader, dispatch);
    const complaints: string[] = [];
    const { races, errors } = emulator.run(
      {
        code: uses ? withoutBarrier(code, forget) : code,
        entryPoint: emulatedName(entryPoint),
        grid: emulatedGrid(launch),
        buffers: bound,
        limitMs,
      },
      complaints,
    );
    const unknown = [...complaints, ...errors.filter((text) => !/^Barrier divergence/.test(text))];
    if (unknown.length > 0) throw new Error(unknown[0]);
    const written = [...outputs].some(([name, words]) =>
      words.some((word, i) => word !== contents.get(name)![i]),
    );
    if (!written) throw new ShaderError("it writes nothing there");
    const apart = errors.map((text) => /\bline (\d+)/.exec(text)?.[1] ?? "1");
    findings.push(
      ...apart
        .slice(0, TOLD)
        .map((line) => `not all lanes reach the barrier at ${shader.source.lineOf(Number(line))}`),
    );
    const ours = races.filter(
      ({ bufferId, a, b }) =>
        shared.has(bufferId) === (memory === "workgroup") && !(memory === "storage" && sameValue(a, b)),
    );
    const told = ({ invocation, kind, line }: Access) =>
      `lane ${invocation} ${kind === "read" ? "reads" : "writes"} it at ${shader.source.lineOf(line)}`;
    findings.push(
      ...ours
        .slice(0, TOLD)
        .map(({ bufferId, a, b }) => `${bufferId}: ${told(a)}, ${told(b)}, with no ${memory}Barrier between`),
    );
  }
  return findings;
}

/** Lanes at an edge that write the same value to the same place on one line: harmless. */
function sameValue(a: Access, b: Access): boolean {
  return a.kind === "write" && b.kind === "write" && a.line === b.line && a.value === b.value;
}

function emulatedGrid({ workgroups: [x, y = 1, z = 1] }: AnyLaunch): readonly number[] {
  return x * y * z <= WHOLE_GRID ? [x, y, z] : [1, 1, 1];
}

/** Copies, because the emulator writes to them. */
function buffersOf(
  shader: ShaderFile,
  { launch, contents }: SmallDispatch,
): { bound: BoundBuffers; outputs: Map<string, Uint32Array> } {
  const bound: Record<number, ArrayBufferLike | { uniform: ArrayBufferLike }> = {};
  const outputs = new Map<string, Uint32Array>();
  for (const { name, kind, number } of shader.bindings) {
    if (kind === "uniform") {
      const words = contents.get(name)?.slice() ?? packParams(shader, launch.params ?? {});
      bound[number] = { uniform: words.buffer };
      continue;
    }
    const words = contents.get(name)!.slice();
    if (kind === "read_write") outputs.set(name, words);
    bound[number] = words.buffer;
  }
  return { bound, outputs };
}
