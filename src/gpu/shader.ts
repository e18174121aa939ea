/**
 * Reads what a .wgsl file says about itself. WGSL is the single truth: TypeScript names a kernel's bindings,
 * overrides and params, and those names are checked against what is found here.
 *
 * Understood, each on a line of its own:
 *   enable subgroups;
 *   @group(0) @binding(0) var<storage, read> x: array<f32>;
 *   override C: u32;                      override WG_SIZE: u32 = 256u;
 *   const TM: u32 = 4u;  // @spec         the loader may replace the value
 *   // @import lib/workgroup-sum.wgsl     appended, so that line numbers stay the file's own
 *   struct Params { rows: u32, eps: f32 } fields of 4 bytes each
 */
import { ShaderError } from "../support/errors.ts";

export type BindingKind = "read" | "read_write" | "uniform";

export interface Binding {
  readonly name: string;
  readonly kind: BindingKind;
}

export interface ParamField {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
}

export interface ShaderFile {
  readonly path: string;
  /** The file with its imports appended. */
  readonly code: string;
  /** Which file each line of `code` comes from: the last part whose firstLine is not beyond the line. */
  readonly parts: readonly { path: string; firstLine: number }[];
  readonly bindings: readonly Binding[];
  readonly overrides: readonly { name: string; hasDefault: boolean }[];
  readonly params: readonly ParamField[];
  readonly spec: readonly string[];
  /** WebGPU features that its `enable` lines need. */
  readonly features: readonly string[];
  readonly usesWorkgroupMemory: boolean;
}

/** Gives the text of a shader by its path under shaders/. The host provides it: files in Node, a bundle elsewhere. */
export type ShaderSource = (path: string) => string;

const FEATURE_OF_ENABLE: Record<string, string> = {
  f16: "shader-f16",
  subgroups: "subgroups",
  chromium_experimental_subgroup_matrix: "chromium-experimental-subgroup-matrix",
  subgroup_size_control: "subgroup-size-control",
};

const BINDING =
  /^@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(storage|uniform)\s*(?:,\s*(read|read_write)\s*)?>\s*(\w+)\s*:/gm;
const OVERRIDE = /^override\s+(\w+)\s*:\s*\w+\s*(=)?/gm;
const SPEC = /^(const|alias)\s+(\w+)(\s*:\s*\w+)?\s*=\s*([^;]+);(\s*\/\/\s*@spec)/gm;
const IMPORT = /^\/\/\s*@import\s+(\S+)\s*$/gm;
const ENABLE = /^enable\s+([\w\s,]+);/gm;
const PARAMS = /struct\s+Params\s*\{([^}]*)\}/;

export function parseShader(path: string, source: ShaderSource): ShaderFile {
  const own = source(path);
  const imports = [...own.matchAll(IMPORT)].map((match) => match[1]!);
  const texts = [own, ...imports.map(source)];
  const code = texts.join("\n");
  let line = 1;
  const parts = [path, ...imports].map((part, index) => {
    const firstLine = line;
    line += texts[index]!.split("\n").length;
    return { path: part, firstLine };
  });

  const bindings = [...own.matchAll(BINDING)].map((match, index): Binding => {
    if (Number(match[1]) !== index) {
      throw new ShaderError(
        `${path}: binding ${match[1]} (${match[4]}) stands where binding ${index} is expected`,
      );
    }
    const kind = match[2] === "uniform" ? "uniform" : ((match[3] ?? "read") as BindingKind);
    return { name: match[4]!, kind };
  });
  return {
    path,
    code,
    parts,
    bindings,
    overrides: [...code.matchAll(OVERRIDE)].map((match) => ({
      name: match[1]!,
      hasDefault: match[2] === "=",
    })),
    params: bindings.some((binding) => binding.name === "params") ? paramFields(path, own) : [],
    spec: [...code.matchAll(SPEC)].map((match) => match[2]!),
    features: [...code.matchAll(ENABLE)].flatMap((match) =>
      match[1]!.split(",").map((name) => FEATURE_OF_ENABLE[name.trim()] ?? name.trim()),
    ),
    usesWorkgroupMemory: /var<workgroup>/.test(code),
  };
}

function paramFields(path: string, code: string): ParamField[] {
  const body = code.match(PARAMS)?.[1];
  if (body === undefined) throw new ShaderError(`${path}: binds params but declares no struct Params`);
  return body
    .replace(/\/\/[^\n]*/g, "")
    .split(",")
    .map((field) => field.trim())
    .filter((field) => field !== "")
    .map((field) => {
      const [, name, type] = field.match(/^(\w+)\s*:\s*(u32|i32|f32)$/) ?? [];
      if (!name) throw new ShaderError(`${path}: Params field "${field}" is not a u32, i32 or f32`);
      return { name, type: type as ParamField["type"] };
    });
}

/** The code with the values of its `// @spec` lines replaced; every name must be one of the file's. */
export function specialize(shader: ShaderFile, values: Readonly<Record<string, number | string>>): string {
  for (const name of Object.keys(values)) {
    if (!shader.spec.includes(name)) {
      throw new ShaderError(
        `${shader.path}: has no "// @spec" line for ${name} (it has ${shader.spec.join(", ") || "none"})`,
      );
    }
  }
  return shader.code.replace(
    SPEC,
    (line, keyword: string, name: string, type: string | undefined, old: string, mark: string) => {
      const value = values[name];
      if (value === undefined) return line;
      const suffix = typeof value === "number" && /u\s*$/.test(old) ? "u" : "";
      return `${keyword} ${name}${type ?? ""} = ${value}${suffix};${mark}`;
    },
  );
}

/** "file:line:column: message" and the line itself, for a position in `code`. */
export function shaderMessage(
  shader: ShaderFile,
  message: { lineNum: number; linePos: number; message: string },
): string {
  const part =
    shader.parts.findLast((candidate) => candidate.firstLine <= message.lineNum) ?? shader.parts[0]!;
  const text = shader.code.split("\n")[message.lineNum - 1] ?? "";
  const line = message.lineNum - part.firstLine + 1;
  return `${part.path}:${line}:${message.linePos}: ${message.message} | ${text.trim()}`;
}
