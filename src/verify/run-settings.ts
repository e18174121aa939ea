/** The settings of a training run in a reference file. */
import { z } from "zod";
import { positive } from "./operation.ts";
import type { ReferenceCase } from "./reference-file.ts";

const rate = z.number().min(0);

const RunSettings = z.object({
  options: z
    .looseObject({ width: positive.optional(), hidden: positive.optional(), depth: positive.optional() })
    .default({}),
  batch: positive,
  ghost_size: positive,
  steps: positive,
  lr: rate,
  momentum: rate,
  weight_decay: rate,
  clip_norm: rate,
  bn_momentum: rate.max(1),
  bn_eps: rate,
});
export type RunSettings = z.infer<typeof RunSettings>;

/** @throws DataError naming the setting that is missing or wrong */
export function runSettings(reference: ReferenceCase): RunSettings {
  return reference.attributes(RunSettings);
}

/** The name of the case in a report. */
export function describeRun({ options, batch, ghost_size, steps }: RunSettings): string {
  const given = Object.entries(options).map(([name, value]) => `${name} ${value}`);
  return [...given, `batch ${batch}`, `ghosts of ${ghost_size}`, `${steps} steps`].join(", ");
}
