/** Parses what a WGSL file declares at module scope, from its tokens, in any valid spelling. */
import { evaluateList } from "./wgsl-expression.ts";
import { type Token, textOf, type WgslTokens } from "./wgsl-tokens.ts";

/** A part of a declaration: index of its first token, and of the token after its last. */
export type TokenRange = readonly [from: number, to: number];

/** The tokens in the parentheses of each attribute; null where it has none. */
export type Attributes = ReadonlyMap<string, TokenRange | null>;

export interface Declared {
  readonly name: string;
  /** Offset of its name in the code. */
  readonly start: number;
}

export interface DeclaredValue extends Declared {
  readonly keyword: "const" | "override" | "alias";
  /** From its attributes to its semicolon. */
  readonly tokens: TokenRange;
  /** As written, without blanks: "u32"; null if inferred from the value. */
  readonly type: string | null;
  readonly value: TokenRange | null;
  /** The type that an alias stands for. */
  readonly aliased: string | null;
  /** The number in `@id`. */
  readonly id: number | null;
}

export interface DeclaredVariable extends Declared {
  /** "storage", "uniform", "workgroup", "private"; null for textures and samplers. */
  readonly space: string | null;
  readonly access: string | null;
  readonly type: string;
  readonly group: number | null;
  readonly binding: number | null;
  readonly attributes: Attributes;
}

export interface DeclaredStruct extends Declared {
  readonly members: readonly (Declared & { readonly type: string; readonly attributes: readonly string[] })[];
}

export interface DeclaredFunction extends Declared {
  /** "compute", "vertex" or "fragment" of an entry point, else null. */
  readonly stage: string | null;
  readonly attributes: Attributes;
  readonly tokens: TokenRange;
  readonly body: TokenRange;
}

export interface Directive extends Declared {
  readonly keyword: "enable" | "requires" | "diagnostic";
}

export interface Declarations {
  /** One for each name that a directive lists. */
  readonly directives: readonly Directive[];
  readonly values: readonly DeclaredValue[];
  readonly variables: readonly DeclaredVariable[];
  readonly structs: readonly DeclaredStruct[];
  readonly functions: readonly DeclaredFunction[];
}

/** @throws ShaderError for a number in an attribute that cannot be computed from the file */
export function readDeclarations(file: WgslTokens): Declarations {
  return new Reader(file).read();
}

class Reader {
  readonly #file: WgslTokens;
  readonly #tokens: readonly Token[];
  readonly #directives: Directive[] = [];
  readonly #values: DeclaredValue[] = [];
  readonly #variables: Omit<DeclaredVariable, "group" | "binding">[] = [];
  readonly #structs: DeclaredStruct[] = [];
  readonly #functions: DeclaredFunction[] = [];
  readonly #ids: { value: DeclaredValue; attributes: Attributes }[] = [];
  #at = 0;

  constructor(file: WgslTokens) {
    this.#file = file;
    this.#tokens = file.tokens;
  }

  read(): Declarations {
    while (this.#at < this.#tokens.length) this.#declaration();
    const evaluate = new ConstantValues(this.#file, this.#values);
    const ids = new Map(this.#ids.map(({ value, attributes }) => [value, evaluate.of(attributes, "id")]));
    return {
      directives: this.#directives,
      values: this.#values.map((value) => ({ ...value, id: ids.get(value) ?? null })),
      variables: this.#variables.map((variable) => ({
        ...variable,
        group: evaluate.of(variable.attributes, "group"),
        binding: evaluate.of(variable.attributes, "binding"),
      })),
      structs: this.#structs,
      functions: this.#functions,
    };
  }

  #declaration(): void {
    const first = this.#at;
    const attributes = this.#attributes();
    const keyword = this.#text(this.#at);
    const start = this.#at++;
    if (keyword === "enable" || keyword === "requires" || keyword === "diagnostic")
      this.#directive(keyword, start);
    else if (keyword === "override" || keyword === "const" || keyword === "alias")
      this.#value(keyword, first, attributes);
    else if (keyword === "var") this.#variable(attributes);
    else if (keyword === "struct") this.#struct();
    else if (keyword === "fn") this.#function(first, attributes);
    else if (keyword === "const_assert") this.#at = this.#behindSemicolon();
    // A lone semicolon, or an error that the compiler will report.
    else this.#at = (this.#file.closing.get(start) ?? start) + 1;
  }

  #text(index: number): string | undefined {
    return this.#tokens[index]?.text;
  }

  /** The tokens in each attribute's parentheses. */
  #attributes(): Attributes {
    const attributes = new Map<string, TokenRange | null>();
    while (this.#text(this.#at) === "@") {
      const name = this.#text(this.#at + 1) ?? "";
      this.#at += 2;
      const end = this.#text(this.#at) === "(" ? this.#file.closing.get(this.#at) : undefined;
      attributes.set(name, end === undefined ? null : [this.#at + 1, end]);
      if (end !== undefined) this.#at = end + 1;
    }
    return attributes;
  }

  #declared(index: number): Declared {
    return {
      name: this.#text(index) ?? "",
      start: this.#tokens[index]?.start ?? this.#file.source.code.length,
    };
  }

  #directive(keyword: Directive["keyword"], start: number): void {
    const end = this.#behindSemicolon();
    for (let i = start + 1; i < end; i++)
      if (this.#tokens[i]!.kind === "identifier") this.#directives.push({ keyword, ...this.#declared(i) });
    this.#at = end;
  }

  #value(keyword: DeclaredValue["keyword"], first: number, attributes: Attributes): void {
    const declared = this.#declared(this.#at++);
    const type = this.#text(this.#at) === ":" ? this.#type(this.#at + 1) : null;
    const end = this.#behindSemicolon();
    const value: TokenRange | null =
      this.#text(this.#at) === "=" && this.#at + 1 < end - 1 ? [this.#at + 1, end - 1] : null;
    const aliased = keyword === "alias" && value ? textOf(this.#tokens, ...value) : null;
    const one = { keyword, ...declared, tokens: [first, end] as const, type, value, aliased, id: null };
    this.#values.push(one);
    this.#ids.push({ value: one, attributes });
    this.#at = end;
  }

  #variable(attributes: Attributes): void {
    let space: string | null = null;
    let access: string | null = null;
    const list = this.#file.closing.get(this.#at);
    if (list !== undefined && this.#text(this.#at) === "<") {
      const names = this.#tokens.slice(this.#at + 1, list).filter(({ kind }) => kind === "identifier");
      [space, access] = [names[0]?.text ?? null, names[1]?.text ?? null];
      this.#at = list + 1;
    }
    const declared = this.#declared(this.#at++);
    const type = this.#text(this.#at) === ":" ? this.#type(this.#at + 1) : "";
    this.#variables.push({ ...declared, space, access, type, attributes });
    this.#at = this.#behindSemicolon();
  }

  /** Reads a type, i.e. a name and maybe a template list, and moves past it. */
  #type(from: number): string {
    const list = this.#text(from + 1) === "<" ? this.#file.closing.get(from + 1) : undefined;
    this.#at = (list ?? from) + 1;
    return textOf(this.#tokens, from, this.#at);
  }

  #struct(): void {
    const declared = this.#declared(this.#at++);
    const end = this.#file.closing.get(this.#at);
    const members: DeclaredStruct["members"][number][] = [];
    if (end !== undefined && this.#text(this.#at) === "{") {
      this.#at++;
      while (this.#at < end) {
        const attributes = [...this.#attributes().keys()];
        const member = this.#declared(this.#at++);
        const type = this.#text(this.#at) === ":" ? this.#type(this.#at + 1) : "";
        members.push({ ...member, type, attributes });
        while (this.#at < end && this.#text(this.#at) !== ",") this.#at++;
        this.#at++;
      }
      this.#at = end + 1;
    }
    this.#structs.push({ ...declared, members });
  }

  #function(first: number, attributes: Attributes): void {
    const declared = this.#declared(this.#at++);
    this.#at = (this.#file.closing.get(this.#at) ?? this.#at) + 1; // past the parameters
    while (this.#at < this.#tokens.length && this.#text(this.#at) !== "{") this.#at++;
    const end = this.#file.closing.get(this.#at) ?? this.#tokens.length;
    const stage = ["compute", "vertex", "fragment"].find((name) => attributes.has(name)) ?? null;
    const body = [Math.min(this.#at + 1, end), end] as const;
    this.#functions.push({ ...declared, stage, attributes, tokens: [first, end + 1], body });
    this.#at = end + 1;
  }

  /** Moves past the next semicolon outside brackets, or past the last token if there is none. */
  #behindSemicolon(): number {
    for (let i = this.#at; i < this.#tokens.length; i++) {
      if (this.#text(i) === ";") return i + 1;
      i = this.#file.closing.get(i) ?? i;
    }
    return this.#tokens.length;
  }
}

/** Whole numbers in attributes, which may use constants of the file. */
class ConstantValues {
  readonly #file: WgslTokens;
  readonly #values: ReadonlyMap<string, DeclaredValue>;

  constructor(file: WgslTokens, values: readonly DeclaredValue[]) {
    this.#file = file;
    this.#values = new Map(
      values.filter(({ keyword }) => keyword === "const").map((value) => [value.name, value]),
    );
  }

  of(attributes: Attributes, name: string): number | null {
    const range = attributes.get(name);
    if (!range) return null;
    const value = this.#evaluate(range, name, new Set());
    if (value < 0 || !Number.isInteger(value)) this.#fail(range[0], name, `${value} is not a whole number`);
    return value;
  }

  #evaluate([from, to]: TokenRange, attribute: string, inside: ReadonlySet<string>): number {
    const values = evaluateList(this.#file.tokens, from, to, {
      division: "whole",
      value: (name) => {
        const range = inside.has(name) ? null : this.#values.get(name)?.value;
        return range ? this.#evaluate(range, attribute, new Set([...inside, name])) : undefined;
      },
      fail: (index, message) => this.#fail(index, attribute, message),
    });
    return values[0]!;
  }

  #fail(index: number, attribute: string, message: string): never {
    const { source, tokens } = this.#file;
    return source.fail(
      tokens[index]?.start ?? source.code.length,
      `@${attribute}: ${message}; write the number directly`,
    );
  }
}
