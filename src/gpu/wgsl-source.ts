/** The text of a shader with its imports appended, and the file and position of each character. */
import { ShaderError } from "../support/errors.ts";

/** WGSL ends a line at any of these (WGSL, section 3.3, "Blankspace and Line Breaks"). */
const LINE_BREAK = /\r\n|[\n\v\f\r\u0085\u2028\u2029]/g;

export interface SourcePart {
  readonly path: string;
  readonly text: string;
}

interface Line {
  readonly path: string;
  /** Line number in its own file, from 1. */
  readonly line: number;
  /** Offset of its start in the whole text. */
  readonly start: number;
  readonly text: string;
}

export class WgslSource {
  readonly code: string;
  readonly #parts: readonly SourcePart[];
  #lines: readonly Line[] | null = null;

  constructor(parts: readonly SourcePart[]) {
    this.code = parts.map(({ text }) => text).join("\n");
    this.#parts = parts;
  }

  /** "file:line:column" of an offset in `code`; the column counts UTF-16 code units from 1, as in WebGPU. */
  place(offset: number): string {
    const line = this.#allLines().findLast(({ start }) => start <= offset)!;
    return `${line.path}:${line.line}:${offset - line.start + 1}`;
  }

  /** @throws ShaderError with the place of `offset` */
  fail(offset: number, message: string): never {
    throw new ShaderError(`${this.place(offset)}: ${message}`);
  }

  /** "file:line" of a line of `code`, counted from 1. */
  lineOf(line: number): string {
    const found = this.#allLines()[line - 1];
    return found ? `${found.path}:${found.line}` : this.#parts[0]!.path;
  }

  /** "file:line:column: message" and the line itself, for a message of the compiler. */
  compilerMessage({ lineNum, linePos, message }: CompilerMessage): string {
    const line = this.#allLines()[lineNum - 1];
    if (!line) return `${this.#parts[0]!.path}: ${message}`;
    return `${line.path}:${line.line}:${linePos}: ${message} | ${line.text.trim()}`;
  }

  #allLines(): readonly Line[] {
    let start = 0;
    this.#lines ??= this.#parts.flatMap(({ path, text }) => {
      const lines = linesOf(text).map((line, index) => ({
        path,
        line: index + 1,
        start: start + line.start,
        text: line.text,
      }));
      start += text.length + 1;
      return lines;
    });
    return this.#lines;
  }
}

type CompilerMessage = Pick<GPUCompilationMessage, "lineNum" | "linePos" | "message">;

function linesOf(text: string): { start: number; text: string }[] {
  const lines: { start: number; text: string }[] = [];
  let start = 0;
  for (const { index, 0: lineBreak } of text.matchAll(LINE_BREAK)) {
    lines.push({ start, text: text.slice(start, index) });
    start = index + lineBreak.length;
  }
  lines.push({ start, text: text.slice(start) });
  return lines;
}

/** A range of a text, and its replacement. */
export interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Applies replacements, which are in order and do not overlap. Line numbers do not change. */
export function replaced(code: string, replacements: readonly Replacement[]): string {
  let result = "";
  let at = 0;
  for (const { start, end, text } of replacements) {
    const lost = code.slice(start, end).match(LINE_BREAK) ?? [];
    const kept = text.match(LINE_BREAK) ?? [];
    result += code.slice(at, start) + text + lost.slice(kept.length).join("");
    at = end;
  }
  return result + code.slice(at);
}
