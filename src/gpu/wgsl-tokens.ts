/**
 * Splits WGSL into tokens and comments (WGSL, section 3, "Textual Structure"). Reads every valid text; an invalid one is
 * read as far as possible, because the compiler's message about it is better.
 */
import type { WgslSource } from "./wgsl-source.ts";

export interface Token {
  readonly kind: "identifier" | "number" | "symbol";
  /** Symbols are single characters: "<=" is two tokens that touch. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export interface Comment {
  readonly kind: "line" | "block";
  /** Without its markers. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export interface WgslTokens {
  readonly source: WgslSource;
  readonly tokens: readonly Token[];
  readonly comments: readonly Comment[];
  /** Maps the index of every (, [ and {, and of every < that opens a template list, to the index of its closing token. */
  readonly closing: ReadonlyMap<number, number>;
}

const NEXT = new RegExp(
  [
    String.raw`(?<blank>[\s\u0085\u200e\u200f]+)`,
    String.raw`(?<line>//[^\n\v\f\r\u0085\u2028\u2029]*)`,
    String.raw`(?<block>/\*)`,
    String.raw`(?<identifier>[_\p{XID_Start}]\p{XID_Continue}*)`,
    // Hexadecimal, then decimal; each with exponent and suffix.
    String.raw`(?<number>0[xX](?:[\da-fA-F]+\.?[\da-fA-F]*|\.[\da-fA-F]+)(?:[pP][+\-]?\d+)?[iufh]?` +
      String.raw`|(?:\d+\.?\d*|\.\d+)(?:[eE][+\-]?\d+)?[iufh]?)`,
    "(?<symbol>.)",
  ].join("|"),
  "suy",
);
const BLOCK_MARKER = /\/\*|\*\//g;

/** @throws ShaderError for an unterminated block comment, and for a null character, which WGSL does not allow */
export function tokenize(source: WgslSource): WgslTokens {
  const { code } = source;
  const tokens: Token[] = [];
  const comments: Comment[] = [];
  const zero = code.indexOf("\0");
  if (zero >= 0) source.fail(zero, "a null character, which WGSL does not allow");
  for (let start = 0; start < code.length; ) {
    NEXT.lastIndex = start;
    const { 0: text, groups } = NEXT.exec(code)!;
    const { line, block, identifier, number, symbol } = groups!;
    const end = block === undefined ? start + text.length : endOfBlock(source, start);
    if (line !== undefined) comments.push({ kind: "line", text: text.slice(2), start, end });
    else if (block !== undefined)
      comments.push({ kind: "block", text: code.slice(start + 2, end - 2), start, end });
    else if (identifier !== undefined) tokens.push({ kind: "identifier", text, start, end });
    else if (number !== undefined) tokens.push({ kind: "number", text, start, end });
    else if (symbol !== undefined) tokens.push({ kind: "symbol", text, start, end });
    start = end;
  }
  return { source, tokens, comments, closing: closingOf(tokens) };
}

/** Block comments nest. */
function endOfBlock(source: WgslSource, start: number): number {
  let depth = 0;
  BLOCK_MARKER.lastIndex = start;
  for (let found = BLOCK_MARKER.exec(source.code); found; found = BLOCK_MARKER.exec(source.code)) {
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return BLOCK_MARKER.lastIndex;
  }
  return source.fail(start, "unterminated block comment");
}

const CLOSED_BY = new Map([
  ["(", ")"],
  ["[", "]"],
  ["{", "}"],
]);

/** Matches brackets by nesting, and template lists by the rules of section 3.9, "Template Lists". */
function closingOf(tokens: readonly Token[]): Map<number, number> {
  const closing = new Map<number, number>();
  const open: number[] = [];
  /** Each < that may open a template list, with the number of brackets open there. */
  let candidates: { index: number; depth: number }[] = [];
  const dropInside = () => {
    candidates = candidates.filter(({ depth }) => depth < open.length);
  };
  const touching = (index: number, text: string) =>
    tokens[index + 1]?.text === text && tokens[index + 1]!.start === tokens[index]!.end;
  for (let i = 0; i < tokens.length; i++) {
    const { kind, text } = tokens[i]!;
    if (kind === "identifier" && tokens[i + 1]?.text === "<") {
      i++;
      if (touching(i, "<") || touching(i, "=")) i++;
      else candidates.push({ index: i, depth: open.length });
    } else if (text === ">") {
      const candidate = candidates.at(-1);
      if (candidate?.depth === open.length) closing.set(candidates.pop()!.index, i);
      else if (touching(i, "=")) i++;
    } else if (CLOSED_BY.has(text)) {
      if (text === "{") candidates = [];
      open.push(i);
    } else if (text === ")" || text === "]" || text === "}") {
      dropInside();
      const opener = open.at(-1);
      if (opener !== undefined && CLOSED_BY.get(tokens[opener]!.text) === text) closing.set(open.pop()!, i);
    } else if (text === ";" || text === ":") {
      candidates = [];
    } else if (text === "=" || text === "!") {
      if (touching(i, "=")) i++;
      else if (text === "=") candidates = [];
    } else if ((text === "&" || text === "|") && touching(i, text)) {
      i++;
      dropInside();
    }
  }
  return closing;
}

/** The tokens between two indices as text, without blanks and comments: "array<vec4<f32>,4>". */
export function textOf(tokens: readonly Token[], from: number, to: number): string {
  return tokens
    .slice(from, to)
    .map(({ text }) => text)
    .join("");
}
