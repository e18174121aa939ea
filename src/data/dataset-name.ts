/**
 * The syntax of a data set on the command line and in a run's specification:
 *
 *   NAME[:ARGUMENT][,OPTION=VALUE]…      cifar10,normalization=per-channel      folder:photos,size=32,test=0.2
 *
 * Everything that decides which numbers the network sees is part of the name, so a specification reproduces them.
 */

import { suggestion } from "../support/closest.ts";
import { UsageError } from "../support/errors.ts";

export interface DatasetName {
  /** The text as given. */
  readonly text: string;
  /** The part before the first ":" or ",". */
  readonly name: string;
  /** The part after the first ":"; null without one. Options are removed first, so it may contain commas. */
  readonly argument: string | null;
  readonly options: ReadonlyMap<string, string>;
}

/** @throws UsageError for an option without a value, or one given twice */
export function parseDatasetName(text: string): DatasetName {
  const name = text.split(/[:,]/, 1)[0];
  let rest = text.slice(name.length);
  const options = new Map<string, string>();
  for (let match = lastOption(rest); match; match = lastOption(rest)) {
    const [whole, key, value] = match;
    if (options.has(key)) throw new UsageError(`data set ${text}: option ${key} is given twice`);
    options.set(key, value);
    rest = rest.slice(0, -whole.length);
  }
  if (rest !== "" && !rest.startsWith(":")) {
    throw new UsageError(`data set ${text}: expected ${name},OPTION=VALUE, found ${JSON.stringify(rest)}`);
  }
  return { text, name, argument: rest === "" ? null : rest.slice(1), options };
}

function lastOption(text: string): RegExpExecArray | null {
  return /,([a-z]+)=([^,]*)$/.exec(text);
}

/** @throws UsageError for an option that is not in the list */
export function requireKnownOptions({ text, name, options }: DatasetName, known: readonly string[]): void {
  for (const key of options.keys()) {
    if (known.includes(key)) continue;
    if (known.length === 0) throw new UsageError(`data set ${text}: ${name} takes no options, found ${key}`);
    throw new UsageError(`data set ${text}: unknown option ${key}: ${suggestion(key, known)}`);
  }
}

/** One of `choices`; the first one if the option is absent. @throws UsageError for anything else */
export function choiceOption<T extends string>(
  { text, options }: DatasetName,
  key: string,
  choices: readonly [T, ...T[]],
): T {
  const value = options.get(key) ?? choices[0];
  const choice = choices.find((candidate) => candidate === value);
  if (choice !== undefined) return choice;
  throw new UsageError(`data set ${text}: ${key}=${value}: unknown value: ${suggestion(value, choices)}`);
}

/** A whole number of at least `minimum`, or null if the option is absent. @throws UsageError for anything else */
export function wholeOption({ text, options }: DatasetName, key: string, minimum: number): number | null {
  const value = options.get(key);
  if (value === undefined) return null;
  const number = Number(value);
  if (/^\d+$/.test(value) && Number.isSafeInteger(number) && number >= minimum) return number;
  throw new UsageError(
    `data set ${text}: ${key}: expected a whole number of at least ${minimum}, got ${JSON.stringify(value)}`,
  );
}

/** A number between 0 and 1, exclusive, or null if the option is absent. @throws UsageError for anything else */
export function fractionOption({ text, options }: DatasetName, key: string): number | null {
  const value = options.get(key);
  if (value === undefined) return null;
  const number = Number(value);
  if (value.trim() !== "" && number > 0 && number < 1) return number;
  throw new UsageError(
    `data set ${text}: ${key}: expected a fraction between 0 and 1, got ${JSON.stringify(value)}`,
  );
}

/** N, or HEIGHTxWIDTH, in pixels; null if the option is absent. @throws UsageError for anything else */
export function sizeOption(
  { text, options }: DatasetName,
  key: string,
): { readonly height: number; readonly width: number } | null {
  const value = options.get(key);
  if (value === undefined) return null;
  const match = /^([1-9]\d{0,4})(?:x([1-9]\d{0,4}))?$/.exec(value);
  if (match) return { height: Number(match[1]), width: Number(match[2] ?? match[1]) };
  throw new UsageError(
    `data set ${text}: ${key}: expected pixels, N or HEIGHTxWIDTH, got ${JSON.stringify(value)}`,
  );
}
