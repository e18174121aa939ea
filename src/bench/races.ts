/** Races within a workgroup, found without a GPU by the emulator of wgsl_reflect, a dependency of the program itself. */
import type { Command } from "../gpu/command.ts";
import { packParams } from "../gpu/constant-buffers.ts";
import type { AnyLaunch } from "../gpu/kernel.ts";
import type { ShaderFile } from "../gpu/shader.ts";
import { WgslSource } from "../gpu/wgsl-source.ts";
import { tokenize } from "../gpu/wgsl-tokens.ts";
import { messageOf } from "../support/errors.ts";
import { emulatable, withoutBarrier } from "./emulatable.ts";

export interface RaceReport {
  readonly findings: readonly string[];
  readonly notes: readonly string[];
}

interface Access {
  readonly invocation: number;
  readonly kind: "read" | "write";
  readonly line: number;
}

interface Race {
  readonly bufferId: string;
  readonly a: Access;
  readonly b: Access;
}

interface Emulator {
  detectRaces(
    code: string,
    entryPoint: string,
    grid: readonly number[],
    buffers: Record<number, Record<number, unknown>>,
  ): { readonly races: readonly Race[]; readonly errors: readonly string[] };
}

/** The emulator runs every lane in JavaScript: dispatches of no more operations and numbers than this are small. */
const SMALL = { flops: 2 ** 16, numbers: 2 ** 16 };
/** And no more of them than take this long, ms. */
const PATIENCE_MS = 4000;
/** Races of one kind that are told. */
const TOLD = 1;
/** Stands in outputs before the dispatch. */
const UNWRITTEN = 123456;
/** Barriers order accesses to the memory of one kind alone (WGSL, "Synchronization Built-in Functions"). */
const BARRIERS = [
  { forget: "storageBarrier", memory: "workgroup" },
  { forget: "workgroupBarrier", memory: "storage" },
] as const;

/**
 * Whether two lanes of a workgroup touch the same bytes between two barriers, one of them writing, in the first workgroup of
 * each small dispatch.
 */
export async function lookForRaces(
  shader: ShaderFile,
  entryPoint: string,
  dispatches: readonly Command[],
): Promise<RaceReport> {
  const notLooked = (why: string): RaceReport => ({
    findings: [],
    notes: [`races: not looked for, because ${why}`],
  });
  const small = dispatches.filter(isSmall).sort((a, b) => a.launch.cost.flops - b.launch.cost.flops);
  if (small.length === 0) return notLooked("no case is small enough to emulate");
  const name = "wgsl_reflect/wgsl_reflect.module.js";
  const emulator: Emulator | null = await import(name).catch(() => null);
  if (!emulator) return notLooked("the package wgsl_reflect is not installed (npm install)");
  const unknown = beyondEmulation(shader);
  if (unknown) return notLooked(`the emulator does not know ${unknown}`);
  const start = performance.now();
  const findings = new Set<string>();
  let looked = 0;
  for (const { launch } of small) {
    if (performance.now() - start > PATIENCE_MS) break;
    try {
      for (const message of racesOf(emulator, { shader, entryPoint, launch })) findings.add(message);
    } catch (error) {
      return notLooked(`the emulator does not run this kernel (${messageOf(error)})`);
    }
    looked++;
    if (findings.size > 0) break;
  }
  const notes: string[] = [];
  const single = singleNumbers(shader);
  if (single.length > 0)
    notes.push(
      `races: not looked for in ${single.join(", ")}, because the emulator follows arrays and structs alone`,
    );
  const left = small.length - looked;
  if (left > 0)
    notes.push(
      `races: looked for in ${looked} of ${small.length} small cases, because emulating more takes too long`,
    );
  return { findings: [...findings], notes: findings.size > 0 ? [] : notes };
}

/** Workgroup variables of one number or vector. */
function singleNumbers({ declarations: { variables, structs } }: ShaderFile): string[] {
  const composite = (type: string) =>
    type.startsWith("array<") || structs.some((struct) => struct.name === type);
  return variables
    .filter(({ space, type }) => space === "workgroup" && !composite(type))
    .map(({ name }) => name);
}

function isSmall({ launch: { cost, buffers } }: Command): boolean {
  const numbers = Object.values(buffers).reduce((sum, { byteLength }) => sum + byteLength / 4, 0);
  return cost.flops <= SMALL.flops && numbers <= SMALL.numbers;
}

/** What the file uses that the emulator passes over in silence. */
function beyondEmulation({ tokens }: ShaderFile): string | undefined {
  return tokens.tokens.find(
    ({ text }) => /^(subgroup|quad)[A-Z]/.test(text) || text === "workgroupUniformLoad" || text === "enable",
  )?.text;
}

/** @throws Error with what the emulator cannot do */
function racesOf(
  { detectRaces }: Emulator,
  { shader, entryPoint, launch }: { shader: ShaderFile; entryPoint: string; launch: AnyLaunch },
): string[] {
  const code = emulatable(shader, launch);
  const { tokens } = tokenize(new WgslSource([{ path: shader.path, text: code }]));
  const shared = new Set(
    shader.declarations.variables.filter(({ space }) => space === "workgroup").map((one) => one.name),
  );
  const findings: string[] = [];
  for (const { forget, memory } of BARRIERS) {
    const uses = tokens.some(({ text }) => text === forget);
    if (memory === "workgroup" && shared.size === 0) continue;
    const buffers = buffersOf(shader, launch);
    const complaints: string[] = [];
    const { races, errors } = listening(complaints, () =>
      detectRaces(uses ? withoutBarrier(code, forget) : code, entryPoint, [1, 1, 1], { 0: buffers.bound }),
    );
    if (complaints.length > 0) throw new Error(complaints[0]);
    const written = buffers.outputs.some((words) => words.some((word) => word !== UNWRITTEN));
    if (!written) throw new Error("it writes nothing there");
    findings.push(...errors.slice(0, TOLD));
    const ours = races.filter(
      ({ bufferId, a, b }) =>
        shared.has(bufferId) === (memory === "workgroup") &&
        // Lanes at an edge that write the same value to the same place: results that differ would show in repeated runs.
        !(memory === "storage" && a.kind === "write" && b.kind === "write" && a.line === b.line),
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

function buffersOf({ bindings, params }: ShaderFile, launch: AnyLaunch) {
  const bound: Record<number, unknown> = {};
  const outputs: Uint32Array[] = [];
  for (const { name, kind, number } of bindings) {
    if (kind === "uniform") {
      const words = name === "params" ? packParams(params, launch.params ?? {}).buffer : new ArrayBuffer(256);
      bound[number] = { uniform: words };
      continue;
    }
    const words = new Uint32Array(Math.max(1, Math.ceil(launch.buffers[name]!.byteLength / 4)));
    if (kind === "read_write") outputs.push(words.fill(UNWRITTEN));
    bound[number] = words.buffer;
  }
  return { bound, outputs };
}

/** Runs `body` and takes what it would tell the console: the emulator's way to say what it cannot do. */
function listening<T>(complaints: string[], body: () => T): T {
  const { error, warn } = console;
  const listen = (...parts: unknown[]) => void complaints.push(parts.map(messageOf).join(" "));
  Object.assign(console, { error: listen, warn: listen });
  try {
    return body();
  } finally {
    Object.assign(console, { error, warn });
  }
}
