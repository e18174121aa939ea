/** Races within a workgroup, found without a GPU by the emulator of wgsl_reflect, which is a development dependency. */
import type { Command } from "../gpu/command.ts";
import { packParams } from "../gpu/constant-buffers.ts";
import type { AnyLaunch } from "../gpu/kernel.ts";
import { type ShaderFile, specialize } from "../gpu/shader.ts";

export interface RaceReport {
  readonly findings: readonly string[];
  readonly notes: readonly string[];
}

/** Numbers in all buffers: the emulator runs every lane in JavaScript. */
const MOST_NUMBERS = 2 ** 20;

/**
 * Whether two lanes of a workgroup touch the same bytes between two barriers, one of them writing. A kernel whose lanes
 * share no memory has nothing to look at.
 */
export async function staticRaces(shader: ShaderFile, command: Command | null): Promise<RaceReport> {
  if (!shader.usesWorkgroupMemory || command === null) return { findings: [], notes: [] };
  const module = "wgsl_reflect/wgsl_reflect.module.js";
  const reflect = await import(module).catch(() => null);
  if (!reflect) return { findings: [], notes: ["races: not looked for, wgsl_reflect is not installed"] };
  const { launch } = command;
  const numbers = Object.values(launch.buffers).reduce((sum, { byteLength }) => sum + byteLength / 4, 0);
  if (numbers > MOST_NUMBERS)
    return { findings: [], notes: ["races: not looked for, the case is too large to emulate"] };
  try {
    const buffers: Record<string, unknown> = {};
    for (const [index, { name, kind }] of shader.bindings.entries()) {
      if (kind === "uniform")
        buffers[index] = {
          uniform:
            name === "params" ? packParams(shader.params, launch.params ?? {}).buffer : new ArrayBuffer(256),
        };
      else buffers[index] = new ArrayBuffer(Math.max(4, launch.buffers[name]!.byteLength));
    }
    const { races } = reflect.detectRaces(emulatable(shader, launch), "main", [1, 1, 1], { 0: buffers });
    return { findings: races.map(({ message }: { message: string }) => message), notes: [] };
  } catch (error) {
    return {
      findings: [],
      notes: [`races: the emulator does not run this kernel (${(error as Error).message})`],
    };
  }
}

/**
 * A kernel in the part of WGSL that wgsl_reflect 1.6 runs, with its overrides as constants: workgroup memory whose length is an
 * override has none there before overrides are set.
 */
export function emulatable(
  shader: ShaderFile,
  { overrides = {}, spec = {} }: Pick<AnyLaunch, "overrides" | "spec">,
): string {
  return (
    specialize(shader, spec)
      .replace(
        /^override\s+(\w+)\s*:\s*(\w+)\s*(?:=\s*([^;]+))?;/gm,
        (_, name: string, type: string, fallback?: string) => {
          const value = overrides[name];
          const text =
            value === undefined ? (fallback ?? "0") : type === "u32" ? `${Number(value)}u` : String(value);
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
