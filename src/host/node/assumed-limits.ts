/** --assume-limits: a known adapter by name, or one described by `ghostbatch doctor --json` elsewhere. */
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
    // Earlier versions of doctor did not list them.
    matrices: z
      .array(z.object({ M: z.int(), N: z.int(), K: z.int(), component: z.enum(["f16", "f32"]) }))
      .default([]),
  }),
  limits: z.record(z.enum(LIMIT_NAMES), z.int().positive()),
  features: z.array(z.string()),
});

/**
 * A GPU for plans that is not present.
 * @param wanted a name of ASSUMED_ADAPTERS, or a file
 * @throws UsageError for a name that is neither; DataError for a file not written by `doctor --json`
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
      `${path}: expected the output of \`ghostbatch doctor --json\`; write it again on the machine with the GPU`,
      { cause },
    );
  }
}
