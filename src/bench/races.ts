/** Races within a workgroup, found without a GPU by the emulator of wgsl_reflect, which is a development dependency. */
import type { Command } from "../gpu/command.ts";
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
          uniform: name === "params" ? params(shader, launch.params ?? {}) : new ArrayBuffer(256),
        };
      else buffers[index] = new ArrayBuffer(Math.max(4, launch.buffers[name]!.byteLength));
    }
    const { races } = reflect.detectRaces(emulated(shader, command), "main", [1, 1, 1], { 0: buffers });
    return { findings: races.map(({ message }: { message: string }) => message), notes: [] };
  } catch (error) {
    return {
      findings: [],
      notes: [`races: the emulator does not run this kernel (${(error as Error).message})`],
    };
  }
}

/** The kernel with its overrides as constants: the emulator sizes workgroup memory before overrides are set. */
function emulated(shader: ShaderFile, { launch }: Command): string {
  return specialize(shader, launch.spec ?? {}).replace(
    /^override\s+(\w+)\s*:\s*(\w+)\s*(?:=\s*([^;]+))?;/gm,
    (_, name: string, type: string, fallback?: string) => {
      const value = launch.overrides?.[name];
      const text =
        value === undefined ? (fallback ?? "0") : type === "u32" ? `${Number(value)}u` : String(value);
      return `const ${name}: ${type} = ${text};`;
    },
  );
}

function params(shader: ShaderFile, values: Readonly<Record<string, number>>): ArrayBuffer {
  const words = new DataView(new ArrayBuffer(4 * shader.params.length));
  for (const [index, { name, type }] of shader.params.entries()) {
    const value = values[name] ?? 0;
    if (type === "f32") words.setFloat32(4 * index, value, true);
    else if (type === "i32") words.setInt32(4 * index, value, true);
    else words.setUint32(4 * index, value, true);
  }
  return words.buffer;
}
