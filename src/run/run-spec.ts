/**
 * A run as plain JSON: everything that decides its result, and nothing else. The configuration file of `train`, the
 * cells of an experiment and the record in a run folder all have this form. Its hash tells whether a run has been done.
 */

import { closest } from "../support/closest.ts";
import { UsageError } from "../support/errors.ts";
import { type OptionValue, Refusal } from "./option-values.ts";
import { RUN_OPTION_KEYS, RUN_OPTIONS, type RunOptionKey, runOption } from "./run-options.ts";

type Options = typeof RUN_OPTIONS;
type ValueOf<Entry> = Entry extends { readonly value: OptionValue<infer T> }
  ? T | (Entry extends { readonly default: null } ? null : never)
  : never;
type KeyWithDefault = {
  [Key in RunOptionKey]: Options[Key] extends { readonly default: unknown } ? Key : never;
}[RunOptionKey];

export type RunSpec = { readonly [Key in KeyWithDefault]: ValueOf<Options[Key]> } & {
  readonly [Key in Exclude<RunOptionKey, KeyWithDefault>]?: ValueOf<Options[Key]> | undefined;
};

/** Some options of a run; the others have their defaults. */
export type RunSpecInput = { readonly [Key in RunOptionKey]?: ValueOf<Options[Key]> | undefined };

/**
 * A complete specification from the given options. The default is F1 on MNIST at batch size 128 with the network's own regime.
 * @param nameOf the user's name for an option, e.g. its flag
 * @throws UsageError naming the invalid option
 */
export function completeSpec(
  given: RunSpecInput,
  nameOf: (key: RunOptionKey) => string = (key) => key,
): RunSpec {
  for (const key of Object.keys(given)) {
    if (Object.hasOwn(RUN_OPTIONS, key)) continue;
    const near = closest(key, RUN_OPTION_KEYS);
    throw new UsageError(`${key}: unknown option${near === null ? "" : `; did you mean ${near}?`}`);
  }
  const spec: Partial<Record<RunOptionKey, unknown>> = {};
  for (const key of RUN_OPTION_KEYS) {
    const value = given[key] === undefined ? defaultOf(key, spec) : readValue(key, given[key]);
    if (value instanceof Refusal)
      throw new UsageError(`${[nameOf(key), ...value.path].join(".")}: ${value.message}`);
    if (value !== undefined) spec[key] = value;
  }
  return spec as unknown as RunSpec;
}

/** The checked value of an option, or why it is rejected. */
export function readValue(key: RunOptionKey, given: unknown): unknown {
  const { value, default: fallback } = runOption(key);
  return given === null && fallback === null ? null : value.read(given);
}

/** @param before the options above this one in the table */
function defaultOf(key: RunOptionKey, before: Partial<Record<RunOptionKey, unknown>>): unknown {
  const { default: fallback } = runOption(key);
  return typeof fallback === "function" ? fallback(before) : fallback;
}

/** Images that are normalized together: without a ghost size the whole batch, as in plain batch norm. */
export function ghostSizeOf({ ghostSize, batchSize }: Pick<RunSpec, "ghostSize" | "batchSize">): number {
  return ghostSize ?? batchSize;
}
