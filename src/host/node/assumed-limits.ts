/** --assume-limits: a known adapter by its name, or one that `ghostbatch doctor --json` has described elsewhere. */
import { z } from "zod";
import { ASSUMED_ADAPTERS, type AssumedAdapter, assumedGpu, LIMIT_NAMES } from "../../gpu/assumed-gpu.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { readTextFileIfAny } from "../../storage/text-file.ts";
import { DataError, UsageError } from "../../support/errors.ts";
import { shaderFiles } from "./shader-files.ts";
import { variantChoice } from "./variant-choice.ts";

const DoctorFile = z.object({
  adapter: z.object({
    name: z.string(),
    vendor: z.string(),
    architecture: z.string(),
    description: z.string(),
    software: z.boolean(),
    subgroupMinSize: z.int(),
    subgroupMaxSize: z.int(),
    // Doctor of earlier versions did not list them.
    matrices: z
      .array(z.object({ M: z.int(), N: z.int(), K: z.int(), component: z.enum(["f16", "f32"]) }))
      .default([]),
  }),
  limits: z.record(z.enum(LIMIT_NAMES), z.int().positive()),
  features: z.array(z.string()),
});

/**
 * A GPU to plan with that is not here.
 * @param wanted a name of ASSUMED_ADAPTERS, or a file
 * @throws UsageError for a name that is neither; DataError for a file that `doctor --json` has not written
 */
export function openAssumed(wanted: string): Gpu {
  const gpu = assumedGpu(ASSUMED_ADAPTERS[wanted.toLowerCase()] ?? readDoctorFile(wanted), shaderFiles);
  gpu.variant = variantChoice(gpu).variant;
  return gpu;
}

function readDoctorFile(path: string): AssumedAdapter {
  const text = readTextFileIfAny(path);
  if (text === null) {
    const names = Object.keys(ASSUMED_ADAPTERS).join(", ");
    throw new UsageError(
      `--assume-limits ${path}: expected ${names}, or a file that \`ghostbatch doctor --json\` wrote on the machine with the GPU`,
    );
  }
  try {
    return DoctorFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new DataError(
      `${path}: expected the output of \`ghostbatch doctor --json\`: write it again on the machine with the GPU`,
      { cause },
    );
  }
}
