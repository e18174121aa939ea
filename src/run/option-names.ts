/** How run options are spelled as flags and as keys of files, and what a user may have meant by another word. */
import { closest } from "../support/closest.ts";
import { RUN_OPTION_KEYS, RUN_OPTIONS, type RunOptionKey, runOption } from "./run-options.ts";

/** The option's flag: --batch-size, or --no-augmentation of a switch that is on by default. */
export function flagOf(key: RunOptionKey): string {
  const { flag = kebabCase(key), default: fallback } = runOption(key);
  return fallback === true ? `--no-${flag}` : `--${flag}`;
}

/** An option with its value, as the user writes it: as a flag, or as a line of a file if no flag can express it. */
export function writtenOption(key: RunOptionKey, value: unknown): string {
  const { value: kind, unit, default: fallback } = runOption(key);
  if (unit === undefined) return value === fallback ? `${key}: ${value}` : flagOf(key);
  if (value === null || value === undefined) return `${key}: ${value}`;
  return `${flagOf(key)} ${kind.write(value)}`;
}

/**
 * The option that a word in a file names by its key or flag, in camelCase, kebab-case or snake_case; null for any other word.
 */
export function keyOf(word: string): RunOptionKey | null {
  const name = camelCase(word);
  if (Object.hasOwn(RUN_OPTIONS, name)) return name as RunOptionKey;
  return (
    RUN_OPTION_KEYS.find((key) => runOption(key).flag !== undefined && camelCase(flagOf(key)) === name) ??
    null
  );
}

/** The option that formerly had this key; null for none. */
export function formerKeyOf(word: string): RunOptionKey | null {
  return RUN_OPTION_KEYS.find((key) => runOption(key).formerly === camelCase(word)) ?? null;
}

/** The message about a word that names no option. */
export function unknownOption(word: string): string {
  const renamed = formerKeyOf(word);
  if (renamed !== null) return `this option is now called ${renamed}`;
  const negated = RUN_OPTION_KEYS.find((key) => camelCase(flagOf(key)) === camelCase(word));
  if (negated !== undefined) return `unknown option; did you mean ${negated}: false?`;
  const near = closest(camelCase(word), [
    ...RUN_OPTION_KEYS,
    ...RUN_OPTION_KEYS.map((key) => camelCase(flagOf(key))),
  ]);
  return near === null ? "unknown option" : `unknown option; did you mean ${keyOf(near) ?? near}?`;
}

function kebabCase(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Converts "--batch-size", "batch_size" and "batchSize" to the last form. */
function camelCase(word: string): string {
  return word.replace(/^-+/, "").replaceAll(/[-_]+(\w)/g, (_, letter: string) => letter.toUpperCase());
}
