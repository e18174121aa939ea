/** Reads run options from plain data, as in a configuration file or a run's record. */
import { shortened } from "../support/damage.ts";
import { UsageError } from "../support/errors.ts";
import { formerKeyOf, keyOf, unknownOption } from "./option-names.ts";
import { Refusal } from "./option-values.ts";
import type { RunOptionKey } from "./run-options.ts";
import { type RunSpecInput, readValue } from "./run-spec.ts";

/** An error in a file's data, with its place. */
export class OptionError extends UsageError {
  /** Keys that lead to the error. */
  readonly path: readonly (string | number)[];

  constructor(message: string, path: readonly (string | number)[]) {
    super(message);
    this.path = path;
  }
}

interface ReadOptions {
  /** Keys that lead to the data in its file. */
  readonly at?: readonly string[];
  /** Accepts former keys, because the data are a record of this program, not written by a user. */
  readonly formerKeys?: boolean;
}

/** The options in a map. @throws OptionError for anything but a map, an unknown key, a wrong value, or an option given twice */
export function readOptions(data: unknown, { at = [], formerKeys = false }: ReadOptions = {}): RunSpecInput {
  return readMap(data, { at, formerKeys }, (key, value, path) => {
    const read = readValue(key, value);
    if (read instanceof Refusal) throw new OptionError(read.message, [...path, ...read.path]);
    return read;
  }) as RunSpecInput;
}

/** The values of each option in a map of lists. @throws OptionError as readOptions, and for an empty list or none */
export function readOptionLists(
  data: unknown,
  { at = [] }: ReadOptions = {},
): Partial<Record<RunOptionKey, unknown[]>> {
  return readMap(data, { at }, (key, list, path) => {
    if (!Array.isArray(list) || list.length === 0)
      throw new OptionError("expected a list of at least one value, as in [0, 1, 2]", path);
    return list.map((value, i) => {
      const read = readValue(key, value);
      if (read instanceof Refusal) throw new OptionError(read.message, [...path, i, ...read.path]);
      return read;
    });
  }) as Partial<Record<RunOptionKey, unknown[]>>;
}

function readMap(
  data: unknown,
  { at = [], formerKeys = false }: ReadOptions,
  readEntry: (key: RunOptionKey, value: unknown, path: readonly string[]) => unknown,
): Partial<Record<RunOptionKey, unknown>> {
  if (typeof data !== "object" || data === null || Array.isArray(data))
    throw new OptionError(`expected options, as in "batchSize: 64", found ${shortened(data)}`, at);
  const options: Partial<Record<RunOptionKey, unknown>> = {};
  const words = new Map<RunOptionKey, string>();
  for (const [word, value] of Object.entries(data)) {
    const path = [...at, word];
    const key = keyOf(word) ?? (formerKeys ? formerKeyOf(word) : null);
    if (key === null) throw new OptionError(unknownOption(word), path);
    const other = words.get(key);
    if (other !== undefined)
      throw new OptionError(`sets the same option as ${other}; keep one of them`, path);
    words.set(key, word);
    options[key] = readEntry(key, value, path);
  }
  return options;
}
