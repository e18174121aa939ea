import type { Module } from "../nn/module.ts";
import { UsageError } from "../support/errors.ts";
import { modelEntry } from "./index.ts";
import type { GivenOptions, ImageFacts, ModelOptions } from "./model-entry.ts";

/** Creates a network, without memory. @throws UsageError for an unknown name, or an option that the model does not have */
export function createModel(name: string, image: ImageFacts, options: ModelOptions = {}): Module {
  const entry = modelEntry(name);
  const given = Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined),
  ) as GivenOptions;
  for (const option of Object.keys(given) as (keyof ModelOptions)[]) {
    if (!entry.options.includes(option)) {
      throw new UsageError(
        `model ${name}: unknown option ${option}; its options are ${entry.options.join(", ") || "none"}`,
      );
    }
  }
  return entry.create(image, given);
}
