/** Rewrites a kernel in the subset of WGSL that the emulator of wgsl_reflect 1.6 supports. */
import type { AnyLaunch } from "../gpu/kernel.ts";
import { type ShaderFile, specialize } from "../gpu/shader.ts";
import { type Declarations, readDeclarations } from "../gpu/wgsl-declarations.ts";
import { evaluateList } from "../gpu/wgsl-expression.ts";
import { type Replacement, replaced, WgslSource } from "../gpu/wgsl-source.ts";
import { type Token, tokenize, type WgslTokens } from "../gpu/wgsl-tokens.ts";
import { ShaderError } from "../support/errors.ts";
import { FUNCTIONS, type Names, ownValue } from "./own-value.ts";

/** Words that WGSL reserves only in some places, or formerly did, and the emulator reserves everywhere. */
const RESERVED = new Set([
  "workgroup",
  "block",
  "read",
  "write",
  "read_write",
  "storage",
  "uniform",
  "private",
]);

/** The code without comments, assertions and directives, with overrides as constants, in spellings that the emulator knows. */
export function emulatable(
  shader: ShaderFile,
  { overrides = {}, spec = {} }: Pick<AnyLaunch, "overrides" | "spec">,
): string {
  const file = read(shader.path, specialize(shader, spec));
  const { tokens, comments, source } = file;
  const declarations = readDeclarations(file);
  const { values, variables, functions } = declarations;
  const replacements: Replacement[] = [];
  const replace = ([from, to]: readonly [number, number], text: string) =>
    void replacements.push({ start: tokens[from]!.start, end: tokens[to - 1]!.end, text });
  for (const { start, end } of comments) replacements.push({ start, end, text: " " });
  for (const range of withoutEffect(file)) replace(range, "");
  // In the emulator, workgroup memory with an override as its length has no length until overrides are set.
  for (const { keyword, name, type, value, tokens: range } of values) {
    if (keyword !== "override") continue;
    const fallback = value ? source.code.slice(tokens[value[0]]!.start, tokens[value[1] - 1]!.end) : "0";
    const given = overrides[name];
    const inferred = type ?? inferredType(tokens, value);
    const literal = given === undefined ? fallback : inferred === "u32" ? `${Number(given)}u` : `${given}`;
    replace(range, `const ${name}${inferred ? `: ${inferred}` : ""} = ${literal};`);
  }
  // Attributes need plain numbers.
  for (const { attributes, group, binding } of variables) {
    const [groups, bindings] = [attributes.get("group"), attributes.get("binding")];
    if (groups) replace(groups, `${group}`);
    if (bindings) replace(bindings, `${binding}`);
  }
  const names = new Map(Object.entries(overrides).map(([name, value]) => [name, Number(value)]));
  for (const { attributes } of functions) {
    const range = attributes.get("workgroup_size");
    if (range) replace(range, workgroupSize(file, declarations, range, names).join(", "));
  }
  const words = respelled(file);
  const covers =
    ({ start, end }: Replacement) =>
    (word: Replacement) =>
      word.start >= start && word.end <= end;
  const rest = words.filter((word) => !replacements.some((range) => covers(range)(word)));
  return replaced(
    source.code,
    [...replacements, ...rest].toSorted((a, b) => a.start - b.start),
  );
}

/** Assertions, anywhere, and directives that do not change results. */
function withoutEffect({ tokens, closing }: WgslTokens): [from: number, to: number][] {
  return tokens.flatMap(({ text }, index): [number, number][] => {
    const first = index === 0 || tokens[index - 1]!.text === ";";
    if (text !== "const_assert" && !(first && (text === "requires" || text === "diagnostic"))) return [];
    let end = index;
    while (end < tokens.length && tokens[end]!.text !== ";") end = (closing.get(end) ?? end) + 1;
    return [[index, Math.min(end + 1, tokens.length)]];
  });
}

/** A function name that the emulator accepts; names that every JavaScript object has mean something else to it. */
export function emulatedName(name: string): string {
  return name in {} || RESERVED.has(name) ? `${name}_` : name;
}

function workgroupSize(
  file: WgslTokens,
  declarations: Declarations,
  [from, to]: readonly [number, number],
  names: Names,
): number[] {
  return evaluateList(file.tokens, from, to, {
    division: "whole",
    functions: FUNCTIONS,
    value: (name) => names.get(name) ?? ownValue({ tokens: file, declarations }, name, names),
    fail: (_, message) => {
      throw new ShaderError(`@workgroup_size: ${message}`);
    },
  });
}

function respelled({ tokens, closing }: WgslTokens): Replacement[] {
  const spaces = new Set<number>();
  for (const [index, { text }] of tokens.entries()) {
    const end = text === "var" || text === "ptr" ? closing.get(index + 1) : undefined;
    if (tokens[index + 1]?.text === "<") for (let i = index + 2; i < (end ?? 0); i++) spaces.add(i);
  }
  const text = (index: number) => tokens[index]?.text;
  return tokens.flatMap((token, index): Replacement[] => {
    if (token.kind === "identifier" && (token.text in {} || (RESERVED.has(token.text) && !spaces.has(index))))
      return [{ ...token, text: emulatedName(token.text) }];
    // The emulator needs a name for a discarded value.
    if (token.text === "_" && text(index + 1) === "=") return [{ ...token, text: `let dropped_${index}` }];
    // The emulator allows no trailing comma.
    if (token.text === "," && (text(index + 1) === ")" || text(index + 1) === ">"))
      return [{ ...token, text: "" }];
    // In the emulator, arrays of booleans are numbers.
    if (token.text === "bool" && text(index - 1) === "<" && text(index - 2) === "array")
      return [{ ...token, text: "u32" }];
    // In the emulator, arrays are zeroed by declaration, not by construction.
    const end = text(index) === "=" && text(index + 1) === "array" ? closing.get(index + 2) : undefined;
    if (end === undefined || text(index - 2) !== "var" || text(end + 1) !== "(" || text(end + 2) !== ")")
      return [];
    return [
      { ...token, text: ":" },
      { start: tokens[end + 1]!.start, end: tokens[end + 2]!.end, text: "" },
    ];
  });
}

/** The type of an override, inferred from its value. */
function inferredType(tokens: readonly Token[], value: readonly [number, number] | null): string | null {
  const last = value ? tokens[value[1] - 1]! : null;
  if (last?.text === "true" || last?.text === "false") return "bool";
  if (last?.kind !== "number") return null;
  if (last.text.endsWith("u")) return "u32";
  return /^(0[xX])?[\dA-Fa-f]+i?$/.test(last.text) ? "i32" : "f32";
}

/** The code with every call of one kind of barrier replaced by an empty statement. */
export function withoutBarrier(code: string, barrier: string): string {
  const { tokens } = read("", code);
  const calls = tokens.flatMap(({ text, start }, index): Replacement[] =>
    text === barrier && tokens[index + 2]?.text === ")"
      ? [{ start, end: tokens[index + 3]!.end, text: "" }]
      : [],
  );
  return replaced(code, calls);
}

function read(path: string, text: string): WgslTokens {
  return tokenize(new WgslSource([{ path, text }]));
}
