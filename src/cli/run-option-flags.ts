/** The run options (src/run/run-options.ts) on the command line: their flags and help, and the options that flags set. */
import { InvalidArgumentError, Option } from "commander";
import { flagOf } from "../run/option-names.ts";
import { describeDefault, meaningsOf } from "../run/option-text.ts";
import { Refusal } from "../run/option-values.ts";
import { RUN_OPTION_GROUPS, RUN_OPTION_KEYS, type RunOptionKey, runOption } from "../run/run-options.ts";
import type { RunSpecInput } from "../run/run-spec.ts";

/** A flag for every option of a run, under the headings of their groups. Former names are rejected, with the new one in the message. */
export function runOptionFlags(): Option[] {
  return Object.entries(RUN_OPTION_GROUPS).flatMap(([heading, options]) =>
    (Object.keys(options) as RunOptionKey[])
      .flatMap((key) => [flag(key), ...formerFlag(key)])
      .map((option) => option.helpGroup(`${heading}:`)),
  );
}

function flag(key: RunOptionKey): Option {
  const { help, unit, value } = runOption(key);
  const choices = Object.entries(meaningsOf(key)).map(([word, meaning]) => `\n- ${word}: ${meaning}`);
  const text = `${help}${describeDefault(key)}${choices.join("")}`;
  if (unit === undefined) return new Option(flagOf(key), text);
  return new Option(`${flagOf(key)} <${unit}>`, text).argParser((word: string) => {
    const read = value.parse(word);
    if (read instanceof Refusal) throw new InvalidArgumentError(sentence(read.message));
    return read;
  });
}

function formerFlag(key: RunOptionKey): Option[] {
  const { formerly } = runOption(key);
  if (formerly === undefined) return [];
  const option = new Option(`--${formerly} [value]`).hideHelp().argParser(() => {
    throw new InvalidArgumentError(`This option is now called ${flagOf(key)}.`);
  });
  return [option];
}

/** The run options that flags set, from commander's names for them. */
export function optionsOfFlags(flags: Readonly<Record<string, unknown>>): RunSpecInput {
  const given: Partial<Record<RunOptionKey, unknown>> = {};
  for (const key of RUN_OPTION_KEYS) {
    const value = flags[new Option(flagOf(key)).attributeName()];
    // A switch that is on by default is true unless --no-… is given; only the latter is the user's choice.
    const isGiven = value !== undefined && !(value === true && runOption(key).default === true);
    if (isGiven) given[key] = value;
  }
  return given as RunSpecInput;
}

function sentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}
