// Runs the race detector of wgsl_reflect on this project's shaders: an emulator that runs all lanes of a workgroup and reports if
// two lanes access the same bytes between two barriers and one of them writes.

import { vi } from "vitest";
import { detectRaces } from "wgsl_reflect/wgsl_reflect.module.js";
import { emulatable } from "../../src/bench/emulatable.ts";
import { packParams } from "../../src/gpu/constant-buffers.ts";
import { parseShader } from "../../src/gpu/shader.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";
import { emulated } from "./emulated-matrices.ts";

/** One small dispatch of a kernel. */
export interface RaceCase {
  readonly overrides: Readonly<Record<string, number | boolean>>;
  readonly spec?: Readonly<Record<string, number | string>>;
  readonly params: Readonly<Record<string, number>>;
  /** Length of each storage binding in 32-bit words. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly workgroups: readonly number[];
  /** Contents of bindings whose integers control the kernel. */
  readonly words?: Readonly<Record<string, readonly number[]>>;
}

export interface RaceResult {
  /** Races, and barriers that not all lanes reach. */
  readonly findings: readonly string[];
  /** Bindings that the dispatch did not write, which means that the emulator did not run the kernel. */
  readonly unwritten: readonly string[];
}

/** Kernels on subgroup matrices as plain loops of the first lane of each subgroup, which is all that the emulator understands. */
const source = (path: string) => emulated(shaderFiles(path));

/** Fills outputs before the dispatch; no kernel computes it from the inputs below. */
const UNWRITTEN = 123456;

/** Whether lanes of a kernel share memory. */
export function sharesMemory(file: string): boolean {
  const { code, usesWorkgroupMemory } = parseShader(file, source);
  return usesWorkgroupMemory || /\b(workgroup|storage)Barrier\(/.test(code);
}

/** Barriers in a kernel, imports included. */
export function barrierCount(file: string): number {
  return parseShader(file, source).code.match(BARRIER)?.length ?? 0;
}

/** @param withoutBarrier  takes this barrier out first, counted from 0 */
export function findRaces(file: string, one: RaceCase, withoutBarrier?: number): RaceResult {
  const shader = parseShader(file, source);
  const given = { ...one.overrides, ...one.params };
  for (const { name } of [...shader.overrides.filter(({ hasDefault }) => !hasDefault), ...shader.params]) {
    if (given[name] === undefined) throw new Error(`${file}: no value for ${name}`);
  }
  let barrier = 0;
  const code = emulatable(shader, one).replace(BARRIER, (text) => (barrier++ === withoutBarrier ? "" : text));
  const buffers: Record<string, ArrayBuffer | { uniform: ArrayBuffer }> = {};
  const outputs = new Map<string, Float32Array>();
  for (const [index, { name, kind }] of shader.bindings.entries()) {
    if (kind === "uniform") {
      buffers[index] = {
        uniform: name === "params" ? packParams(shader, one.params).buffer : new ArrayBuffer(32),
      };
      continue;
    }
    const size = one.sizes[name];
    if (size === undefined) throw new Error(`${file}: no size for ${name}`);
    const data = Float32Array.from({ length: size }, (_, i) => (kind === "read" ? (i % 7) - 3 : UNWRITTEN));
    if (kind === "read_write") outputs.set(name, data);
    // Whole numbers are used as indices, and 0 is valid in every array.
    else if (new RegExp(`\\b${name}\\s*:\\s*array<u32>`).test(code)) data.fill(0);
    if (one.words?.[name]) new Uint32Array(data.buffer).set(one.words[name]);
    buffers[index] = data.buffer;
  }
  // The emulator logs what it cannot compute. That does not change the addresses, which are all that matters here.
  const muted = vi.spyOn(console, "error").mockImplementation(() => undefined);
  try {
    const { races, errors } = detectRaces(code, "main", [...one.workgroups], { 0: buffers });
    const unwritten = [...outputs].filter(([, values]) => values.every((value) => value === UNWRITTEN));
    return {
      findings: [...errors, ...races.map(({ message }) => message)],
      unwritten: unwritten.map(([name]) => name),
    };
  } finally {
    muted.mockRestore();
  }
}

const BARRIER = /\bworkgroupBarrier\(\);/g;
