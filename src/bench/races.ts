/** Races within a workgroup, found without a GPU: an emulator runs its lanes side by side. */
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

/** A dispatch that is small enough to emulate, with what its buffers held before it ran. */
export interface SmallDispatch {
  readonly launch: AnyLaunch;
  readonly contents: ReadonlyMap<string, Uint32Array<ArrayBuffer>>;
}

/** The emulator runs every lane in JavaScript: dispatches of no more operations and numbers than this are small. */
const SMALL = { flops: 2 ** 16, numbers: 2 ** 16 };
/** Grids of no more workgroups are emulated whole, of larger ones the first workgroup. */
const WHOLE_GRID = 8;
/** And no more of them than take this long, ms. */
const PATIENCE_MS = 4000;
/** Races of one kind that are told. */
const TOLD = 1;
/** Barriers order accesses to the memory of one kind alone (WGSL, "Synchronization Built-in Functions"). */
const BARRIERS = [
  { forget: "storageBarrier", memory: "workgroup" },
  { forget: "workgroupBarrier", memory: "storage" },
] as const;

/** What a dispatch that is about to run needs to be emulated; null where it is too large. */
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
 * @param dispatches of the kernel, on numbers that it works on
 * @param patienceMs how long emulating may take
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

/** What stopped the emulator, in words of this project: a line of the file where it names one. */
function whyNot({ source }: ShaderFile, error: unknown): string {
  if (error instanceof ShaderError) return ` (${error.message})`;
  const line = /\bline:? (\d+)/i.exec(messageOf(error))?.[1];
  return line === undefined ? "" : `: it stops at ${source.lineOf(Number(line))}`;
}

/** Workgroup variables of one number or vector; atomic ones cannot race. */
function singleNumbers({ declarations: { variables, structs, values } }: ShaderFile): string[] {
  const followed = (type: string) =>
    /^(array|atomic)</.test(type) || structs.some((struct) => struct.name === type);
  return variables
    .filter(({ space, type }) => space === "workgroup" && !followed(aliased(type, values)))
    .map(({ name }) => name);
}

/** Shared variables with a pointer to them, other than those that atomic functions take. */
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

/** What the file uses that the emulator passes over in silence, or gets wrong. */
function beyondEmulation({ tokens: { tokens }, declarations }: ShaderFile): string | undefined {
  const word = tokens.find(
    ({ text }) => /^(subgroup|quad)[A-Z]/.test(text) || text === "workgroupUniformLoad" || text === "enable",
  );
  if (word) return word.text;
  // All lanes share them there.
  const ownOfLane = declarations.variables.find(({ space }) => space === "private");
  if (ownOfLane) return `private variables such as ${ownOfLane.name}`;
  // What the inner one returns gets lost there.
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

/** @throws EmulationTooLong, or whatever says what the emulator cannot do */
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

/** Lanes at an edge that write the same value to the same place, in one line: harmless everywhere. */
function sameValue(a: Access, b: Access): boolean {
  return a.kind === "write" && b.kind === "write" && a.line === b.line && a.value === b.value;
}

function emulatedGrid({ workgroups: [x, y = 1, z = 1] }: AnyLaunch): readonly number[] {
  return x * y * z <= WHOLE_GRID ? [x, y, z] : [1, 1, 1];
}

/** Copies, since the emulator writes to them. */
function buffersOf(
  { bindings, params }: ShaderFile,
  { launch, contents }: SmallDispatch,
): { bound: BoundBuffers; outputs: Map<string, Uint32Array> } {
  const bound: Record<number, ArrayBufferLike | { uniform: ArrayBufferLike }> = {};
  const outputs = new Map<string, Uint32Array>();
  for (const { name, kind, number } of bindings) {
    if (kind === "uniform") {
      const words = contents.get(name)?.slice() ?? packParams(params, launch.params ?? {});
      bound[number] = { uniform: words.buffer };
      continue;
    }
    const words = contents.get(name)!.slice();
    if (kind === "read_write") outputs.set(name, words);
    bound[number] = words.buffer;
  }
  return { bound, outputs };
}
