/** The command line that trains a run, from its specification. */
import { writtenOption } from "./option-names.ts";
import { RUN_OPTION_KEYS, type RunOptionKey } from "./run-options.ts";
import { completeSpec, type RunSpec, type RunSpecInput } from "./run-spec.ts";

/** `ghostbatch train …` with only the options that differ from their defaults. */
export function equalCommand(spec: RunSpec): string {
  const given: Partial<Record<RunOptionKey, unknown>> = {};
  const words: string[] = [];
  for (const key of RUN_OPTION_KEYS) {
    // Defaults of later options depend on earlier options.
    const byDefault = completeSpec(given as RunSpecInput)[key];
    if (JSON.stringify(byDefault) === JSON.stringify(spec[key])) continue;
    given[key] = spec[key];
    words.push(writtenOption(key, spec[key]));
  }
  return ["ghostbatch train", ...words].join(" ");
}
