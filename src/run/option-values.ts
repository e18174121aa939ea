/** Types of run options and their values: how each is read from a file and from a command line, and how it is written. */
import { closest, suggestion } from "../support/closest.ts";
import { shortened } from "../support/damage.ts";

export interface OptionValue<T> {
  /** Completes "expected …": "a whole number of at least 1". */
  readonly expected: string;
  /** Whether `expected` contains a range that the documentation should name. */
  readonly hasRange?: boolean;
  /** For a value that is one of a few words: each word with its meaning in a clause. */
  readonly choices?: Readonly<Record<string, string>>;
  /** Reads a value from a YAML or JSON file. */
  read(value: unknown): T | Refusal;
  /** Reads a value from a command line. */
  parse(text: string): T | Refusal;
  /** Writes a value as text that `parse` reads. */
  write(value: T): string;
}

/** An entry of the table of run options. */
export interface RunOption {
  readonly value: OptionValue<unknown>;
  /** Its meaning, for the help: one clause, lower case, no full stop. */
  readonly help: string;
  /** For a value that may be one of some names or another word: the meaning of each name in a clause. */
  readonly meanings?: Readonly<Record<string, string>>;
  /** Placeholder of the value in the help: "images" in `--batch-size <images>`. A switch has none. */
  readonly unit?: string;
  /** The flag's name if it is not the key in kebab-case. */
  readonly flag?: string;
  /**
   * The default value, null for no value, or a function of the options above it. An option
   * without a default is not part of the specification unless given.
   */
  readonly default?: unknown;
  /** The default, for readers, if the value alone does not explain it. */
  readonly defaultText?: string;
  /** The former key, in records of runs made before it was renamed. */
  readonly formerly?: string;
}

/** Why a value was rejected. */
export class Refusal {
  readonly message: string;
  /** Keys that lead to the error inside the value; empty for the whole value. */
  readonly path: readonly string[];

  constructor(message: string, path: readonly string[] = []) {
    this.message = message;
    this.path = path;
  }
}

/** "expected a whole number of at least 1, found "3"". */
function refuse(expected: string, value: unknown, path: readonly string[] = []): Refusal {
  return new Refusal(`expected ${expected}, found ${shortened(value)}`, path);
}

/** A whole number from `least` to `most`. */
export function whole(least: number, most = Number.MAX_SAFE_INTEGER): OptionValue<number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  const expected = `a whole number ${range}`;
  const read = (value: unknown) =>
    Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
      ? (value as number)
      : refuse(expected, value);
  return {
    expected,
    hasRange: true,
    read,
    parse: (text) => (/^\d+$/.test(text) ? read(Number(text)) : refuse(expected, text)),
    write: String,
  };
}

/** 1, 2, 4, … up to `most`. */
export function powerOfTwo(most: number): OptionValue<number> {
  const number = whole(1, most);
  const expected = `a power of two from 1 to ${most}`;
  const checked = (value: number | Refusal, given: unknown) =>
    typeof value === "number" && Number.isInteger(Math.log2(value)) ? value : refuse(expected, given);
  return {
    expected,
    hasRange: true,
    read: (value) => checked(number.read(value), value),
    parse: (text) => checked(number.parse(text), text),
    write: String,
  };
}

interface Range {
  readonly least?: number;
  readonly above?: number;
  readonly most?: number;
  readonly below?: number;
}

/** A finite number; `least` and `most` belong to the range, `above` and `below` do not. */
export function real({
  least = Number.NEGATIVE_INFINITY,
  above = Number.NEGATIVE_INFINITY,
  most = Number.POSITIVE_INFINITY,
  below = Number.POSITIVE_INFINITY,
}: Range): OptionValue<number> {
  const low = Number.isFinite(above) ? `above ${above}` : `of at least ${least}`;
  const high = Number.isFinite(below)
    ? ` and below ${below}`
    : Number.isFinite(most)
      ? ` and at most ${most}`
      : "";
  const expected = `a number ${low}${high}`;
  const read = (value: unknown) =>
    typeof value === "number" &&
    Number.isFinite(value) &&
    value >= least &&
    value > above &&
    value <= most &&
    value < below
      ? value
      : refuse(expected, value);
  return {
    expected,
    hasRange: true,
    read,
    parse: (text) => (text.trim() === "" ? refuse(expected, text) : read(Number(text))),
    write: String,
  };
}

/** Any non-empty text. */
export function text(expected: string): OptionValue<string> {
  const read = (value: unknown) =>
    typeof value === "string" && value !== "" ? value : refuse(expected, value);
  return { expected, read, parse: read, write: (value) => value };
}

/** One of a few words. @param choices each word with its meaning in a clause */
export function choice<const Word extends string>(
  choices: Readonly<Record<Word, string>>,
): OptionValue<Word> {
  const words = Object.keys(choices) as Word[];
  const read = (value: unknown) => {
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    const refused = refuse(`one of ${words.join(", ")}`, value);
    const near = typeof value === "string" ? closest(value, words) : null;
    return near === null ? refused : new Refusal(`${refused.message}; did you mean ${near}?`);
  };
  return { expected: `one of ${words.join(", ")}`, choices, read, parse: read, write: (value) => value };
}

/** On or off. On a command line, the flag alone switches it from its default. */
export function onOff(): OptionValue<boolean> {
  const expected = "true or false";
  const read = (value: unknown) => (typeof value === "boolean" ? value : refuse(expected, value));
  return {
    expected,
    read,
    parse: (word) => read(word === "true" ? true : word === "false" ? false : word),
    write: String,
  };
}

/** Number of images of each split, and the seed of the permutation that chooses them. */
export interface SubsetSizes {
  readonly train: number;
  readonly test: number;
  readonly seed: number;
}

/**
 * "10000,2000", or in a file also {train: 10000, test: 2000, seed: 0}. The permutation's seed is 0 by default,
 * regardless of the run's seed.
 */
export function subsetSizes(): OptionValue<SubsetSizes> {
  const expected = "two numbers of images, as in 10000,2000";
  const fields = { train: whole(1), test: whole(1), seed: whole(0) };
  const parse = (given: string) => {
    const match = given.match(/^\s*(\d+)\s*,\s*(\d+)\s*$/);
    return match ? readFields({ train: Number(match[1]), test: Number(match[2]) }) : refuse(expected, given);
  };
  const readFields = (given: Readonly<Record<string, unknown>>): SubsetSizes | Refusal => {
    const all: Record<string, unknown> = { seed: 0, ...given };
    for (const key of Object.keys(all)) {
      if (!Object.hasOwn(fields, key))
        return new Refusal(`unknown key: ${suggestion(key, Object.keys(fields))}`, [key]);
    }
    for (const [key, value] of Object.entries(fields)) {
      const read = value.read(all[key]);
      if (read instanceof Refusal) return new Refusal(read.message, [key]);
    }
    return all as unknown as SubsetSizes;
  };
  return {
    expected,
    read: (value) => {
      if (typeof value === "string") return parse(value);
      const isMap = typeof value === "object" && value !== null && !Array.isArray(value);
      return isMap ? readFields(value as Record<string, unknown>) : refuse(expected, value);
    },
    parse,
    write: ({ train, test }) => `${train},${test}`,
  };
}
