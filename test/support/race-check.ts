// The race detector of wgsl_reflect over this project's shaders: an emulator that runs all lanes of a workgroup side by
// side and reports two lanes touching the same bytes between two barriers, one of them writing.

import { vi } from "vitest";
import { detectRaces } from "wgsl_reflect/wgsl_reflect.module.js";
import { parseShader, type ShaderFile, specialize } from "../../src/gpu/shader.ts";
import { shaderFiles } from "../../src/host/shader-files.ts";

/** One small dispatch of a kernel. */
export interface RaceCase {
  readonly overrides: Readonly<Record<string, number | boolean>>;
  readonly spec?: Readonly<Record<string, number | string>>;
  readonly params: Readonly<Record<string, number>>;
  /** Length of each storage binding in 32-bit words. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly workgroups: readonly number[];
}

export interface RaceResult {
  /** Races and barriers that not all lanes reach, in words. */
  readonly findings: readonly string[];
  /** Bindings that the dispatch should have written and did not: the emulator did not run the kernel. */
  readonly unwritten: readonly string[];
}

/** Stands in outputs before the dispatch; no kernel computes it from the inputs below. */
const UNWRITTEN = 123456;

/** Whether lanes of a kernel meet in memory. */
export function sharesMemory(file: string): boolean {
  const { code, usesWorkgroupMemory } = parseShader(file, shaderFiles);
  return usesWorkgroupMemory || /\b(workgroup|storage)Barrier\(/.test(code);
}

/** Barriers in a kernel, imports included. */
export function barrierCount(file: string): number {
  return parseShader(file, shaderFiles).code.match(BARRIER)?.length ?? 0;
}

/** @param withoutBarrier  takes this barrier out first, counted from 0 */
export function findRaces(file: string, one: RaceCase, withoutBarrier?: number): RaceResult {
  const shader = parseShader(file, shaderFiles);
  let barrier = 0;
  const code = emulated(shader, one).replace(BARRIER, (text) => (barrier++ === withoutBarrier ? "" : text));
  const buffers: Record<string, ArrayBuffer | { uniform: ArrayBuffer }> = {};
  const outputs = new Map<string, Float32Array>();
  for (const [index, { name, kind }] of shader.bindings.entries()) {
    if (kind === "uniform") {
      buffers[index] = { uniform: name === "params" ? packed(shader, one.params) : new ArrayBuffer(32) };
      continue;
    }
    const size = one.sizes[name];
    if (size === undefined) throw new Error(`${file}: no size for ${name}`);
    const data = Float32Array.from({ length: size }, (_, i) => (kind === "read" ? (i % 7) - 3 : UNWRITTEN));
    if (kind === "read_write") outputs.set(name, data);
    buffers[index] = data.buffer;
  }
  // The emulator tells the console what it cannot compute, which leaves the addresses, all that matters here, as they are.
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

/** The kernel in the part of WGSL that wgsl_reflect 1.6 runs, with its overrides as constants. */
function emulated(shader: ShaderFile, { overrides, spec = {} }: RaceCase): string {
  return (
    specialize(shader, spec)
      // Workgroup memory whose length is an override has none before the overrides are set.
      .replace(
        /^override\s+(\w+)\s*:\s*(\w+)\s*(?:=\s*([^;]+))?;/gm,
        (_, name: string, type: string, fallback?: string) => {
          const value = overrides[name];
          if (value === undefined && fallback === undefined)
            throw new Error(`${shader.path}: no value for override ${name}`);
          const text = value === undefined ? fallback : type === "u32" ? `${Number(value)}u` : String(value);
          return `const ${name}: ${type} = ${text};`;
        },
      )
      .replace(/^const_assert[^;]*;/gm, "")
      // Words that only some places of WGSL reserve, or did once.
      .replace(/\bworkgroup\b(?!\s*>)/g, "workgroup_")
      .replace(/\b(read|write)\(/g, "$1_(")
      .replace(/\bblock\b/g, "block_")
      // Arrays are zero by declaration, not by construction; those of truth values are numbers.
      .replace(/\bvar (\w+) = (array<.*>)\(\);/g, "var $1: $2;")
      .replaceAll("array<bool,", "array<u32,")
  );
}

function packed(shader: ShaderFile, params: Readonly<Record<string, number>>): ArrayBuffer {
  const words = new DataView(new ArrayBuffer(4 * shader.params.length));
  for (const [index, { name, type }] of shader.params.entries()) {
    const value = params[name];
    if (value === undefined) throw new Error(`${shader.path}: no value for params.${name}`);
    if (type === "f32") words.setFloat32(4 * index, value, true);
    else if (type === "i32") words.setInt32(4 * index, value, true);
    else words.setUint32(4 * index, value, true);
  }
  return words.buffer;
}
