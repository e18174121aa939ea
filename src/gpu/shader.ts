/**
 * Reads what a .wgsl file says about itself. WGSL is the single truth: TypeScript names a kernel's bindings,
 * overrides and params, and those names are checked against what is found here.
 *
 * Any valid WGSL is understood. Four comments have a meaning:
 *   const TM: u32 = 4u;  // @spec         the loader may replace the value
 *   var<storage> m: …;   // @optional     a user's kernel in the place of this one need not bind it
 *   // @import lib/workgroup-sum.wgsl     appended, so that line numbers stay the file's own
 *   // @dispatch (ceil(SIZE / 64), 1, 1)  the grid of a user's kernel (src/bench/dispatch-size.ts)
 */
import { messageOf, ShaderError, ShaderInterfaceError } from "../support/errors.ts";
import {
  type Declarations,
  type DeclaredValue,
  type DeclaredVariable,
  readDeclarations,
} from "./wgsl-declarations.ts";
import { type Replacement, replaced, WgslSource } from "./wgsl-source.ts";
import { type Comment, tokenize, type WgslTokens } from "./wgsl-tokens.ts";

export type BindingKind = "read" | "read_write" | "uniform";

export interface Binding {
  readonly name: string;
  readonly kind: BindingKind;
  /** Its binding number in group 0. */
  readonly number: number;
  /** Whether a user's kernel that replaces this one may omit it. */
  readonly optional: boolean;
}

export interface ParamField {
  readonly name: string;
  readonly type: "u32" | "i32" | "f32";
}

export interface Override {
  readonly name: string;
  readonly hasDefault: boolean;
  /** How WebGPU identifies it: its name, or the number of its `@id`. */
  readonly key: string;
}

export interface ShaderFile {
  readonly path: string;
  /** The file with its imports appended. */
  readonly code: string;
  readonly source: WgslSource;
  readonly tokens: WgslTokens;
  readonly declarations: Declarations;
  /** Paths of the imported files. */
  readonly imports: readonly string[];
  /** Ordered by number. */
  readonly bindings: readonly Binding[];
  readonly overrides: readonly Override[];
  readonly params: readonly ParamField[];
  readonly spec: readonly string[];
  /** WebGPU features that its `enable` directives need. */
  readonly features: readonly string[];
  /** Names of its `@compute` functions. */
  readonly entryPoints: readonly string[];
  readonly usesWorkgroupMemory: boolean;
}

/** Returns the text of a shader by its path under shaders/. The host provides it: files in Node, a bundle elsewhere. */
export type ShaderSource = (path: string) => string;

/**
 * @throws ShaderInterfaceError, with line and column, for what ghostbatch does not bind: a texture, a second group;
 * ShaderError for an import that there is not and for text that cannot be read
 */
export function parseShader(path: string, read: ShaderSource): ShaderFile {
  const own = { path, text: read(path) };
  const imports = importsOf(tokenize(new WgslSource([own])), read);
  const source = new WgslSource([own, ...imports]);
  const tokens = tokenize(source);
  const declarations = readDeclarations(tokens);
  const { values, variables, directives, functions } = declarations;
  const bindings = bindingsOf(tokens, variables);
  return {
    path,
    code: source.code,
    source,
    tokens,
    declarations,
    imports: imports.map((part) => part.path),
    bindings,
    overrides: values
      .filter(({ keyword }) => keyword === "override")
      .map(({ name, value, id }) => ({
        name,
        hasDefault: value !== null,
        key: id === null ? name : `${id}`,
      })),
    params: paramFields(source, declarations),
    spec: specValues(tokens, values).map(({ name }) => name),
    features: directives.filter(({ keyword }) => keyword === "enable").map(({ name }) => featureOf(name)),
    entryPoints: functions.filter(({ stage }) => stage === "compute").map(({ name }) => name),
    usesWorkgroupMemory: variables.some(({ space }) => space === "workgroup"),
  };
}

/** WebGPU's name for a feature, from WGSL's. */
function featureOf(name: string): string {
  return name === "f16" ? "shader-f16" : name.replaceAll("_", "-");
}

/** The rest of a line comment that begins with a word such as @import; null for any other comment. */
export function marked({ kind, text }: Comment, word: string): string | null {
  const trimmed = text.trim();
  if (kind !== "line" || !trimmed.startsWith(word)) return null;
  const rest = trimmed.slice(word.length);
  return /^\w/.test(rest) ? null : rest.trim();
}

function importsOf({ comments, source }: WgslTokens, read: ShaderSource): { path: string; text: string }[] {
  const texts = new Map<string, string>();
  for (const comment of comments) {
    const path = marked(comment, "@import");
    if (path === null || texts.has(path)) continue;
    try {
      texts.set(path, read(path));
    } catch (cause) {
      if (!(cause instanceof ShaderError)) throw cause;
      source.fail(comment.start, `@import: ${messageOf(cause)}`);
    }
  }
  return [...texts].map(([path, text]) => ({ path, text }));
}

function bindingsOf({ source, comments }: WgslTokens, variables: readonly DeclaredVariable[]): Binding[] {
  const bindings = new Map<number, Binding>();
  const marks = comments.filter((comment) => marked(comment, "@optional") !== null);
  const isOptional = (from: number) =>
    marks.some(({ start }) => start > from && !/[\r\n]/.test(source.code.slice(from, start)));
  for (const { name, start, space, access, type, group, binding } of variables) {
    if (group === null || binding === null) continue;
    const refuse = (what: string): never => {
      throw new ShaderInterfaceError(`${source.place(start)}: ${what}`);
    };
    if (space !== "storage" && space !== "uniform")
      refuse(`${name} is a ${type}: ghostbatch binds only storage buffers and the uniform params`);
    if (group !== 0) refuse(`${name} is in group ${group}: ghostbatch binds only group 0`);
    const other = bindings.get(binding);
    if (other) refuse(`${name} and ${other.name} both have binding ${binding}`);
    const kind = space === "uniform" ? "uniform" : access === "read_write" ? "read_write" : "read";
    bindings.set(binding, { name, kind, number: binding, optional: isOptional(start) });
  }
  return [...bindings.values()].sort((a, b) => a.number - b.number);
}

/** The fields of the struct of the uniform `params`, 4 bytes each. */
function paramFields(source: WgslSource, { variables, structs, values }: Declarations): ParamField[] {
  const params = variables.find(({ name, space }) => name === "params" && space === "uniform");
  if (!params) return [];
  const refuse = (start: number, what: string): never => {
    throw new ShaderInterfaceError(`${source.place(start)}: ${what}`);
  };
  const struct = structs.find(({ name }) => name === aliased(params.type, values));
  if (!struct)
    return refuse(params.start, `params is a ${params.type}, expected a struct of u32, i32 and f32`);
  return struct.members.map(({ name, start, type: written, attributes }) => {
    const type = aliased(written, values);
    if (type !== "u32" && type !== "i32" && type !== "f32")
      return refuse(start, `field ${name} of params is a ${written}, expected u32, i32 or f32`);
    if (attributes.length > 0)
      return refuse(start, `field ${name} of params has @${attributes[0]}, but its fields must be packed`);
    return { name, type };
  });
}

/** Resolves a type name that is an alias. */
export function aliased(type: string, values: readonly DeclaredValue[]): string {
  const seen = new Set<string>();
  for (let name = type; ; ) {
    const alias = values.find((value) => value.keyword === "alias" && value.name === name);
    if (!alias?.aliased || seen.has(name)) return name;
    seen.add(name);
    name = alias.aliased;
  }
}

/** Constants and aliases whose last line ends with the comment `// @spec`. */
function specValues(
  { comments, source, tokens }: WgslTokens,
  values: readonly DeclaredValue[],
): DeclaredValue[] {
  const marks = comments.filter((comment) => marked(comment, "@spec") !== null);
  return values.filter(({ keyword, tokens: [, end] }) => {
    const behind = tokens[end - 1]!.end;
    return (
      keyword !== "override" &&
      marks.some(({ start }) => start >= behind && /^[ \t;]*$/.test(source.code.slice(behind, start)))
    );
  });
}

/**
 * The code with the values of its `// @spec` lines replaced; every name must be one of the file's. If a value is a type of
 * f16, `enable f16;` stands at the beginning of the first line, so that line numbers stay the file's own.
 */
export function specialize(shader: ShaderFile, values: Readonly<Record<string, number | string>>): string {
  for (const name of Object.keys(values)) {
    if (!shader.spec.includes(name)) {
      throw new ShaderError(
        `${shader.path}: has no "// @spec" line for ${name} (it has ${shader.spec.join(", ") || "none"})`,
      );
    }
  }
  const { tokens } = shader.tokens;
  const replacements = specValues(shader.tokens, shader.declarations.values).flatMap((one): Replacement[] => {
    const value = values[one.name];
    if (value === undefined || one.value === null) return [];
    const [first, last] = [tokens[one.value[0]]!, tokens[one.value[1] - 1]!];
    const suffix = typeof value === "number" && last.kind === "number" && last.text.endsWith("u") ? "u" : "";
    return [{ start: first.start, end: last.end, text: `${value}${suffix}` }];
  });
  const code = replaced(shader.code, replacements);
  return needsFloat16(values) ? `enable f16; ${code}` : code;
}

/** WGSL's f16 types: the scalar, and vectors by their short and long names. */
const FLOAT16 = /\b(f16|vec[234]h)\b/;

function needsFloat16(values: Readonly<Record<string, number | string>>): boolean {
  return Object.values(values).some((value) => typeof value === "string" && FLOAT16.test(value));
}

/** WebGPU features that the code needs: those of the file, and f16 if values of `// @spec` lines use it. */
export function featuresOf(
  shader: ShaderFile,
  values: Readonly<Record<string, number | string>>,
): readonly string[] {
  return needsFloat16(values) ? [...new Set([...shader.features, featureOf("f16")])] : shader.features;
}
