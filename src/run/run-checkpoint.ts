/** A checkpoint of a run: the contents of its JSON, and how it is read. */

import { z } from "zod";
import { VARIANTS } from "../gpu/variant.ts";
import { CheckpointFolder, type StoredCheckpoint } from "../storage/checkpoint-file.ts";
import type { StoredTensor } from "../storage/safetensors.ts";
import { describeFault } from "../support/damage.ts";
import { DataError, UsageError } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { LOG_ROWS } from "../train/trainer.ts";
import { RUN_OPTION_KEYS, runOption } from "./run-options.ts";
import type { RunSpec } from "./run-spec.ts";
import { specHash } from "./spec-hash.ts";
import { TallyRecord } from "./tally.ts";

const count = z.int().min(0);
const slab = z.int().min(1);

export const CheckpointContent = z.object({
  format: z.literal(1),
  position: z.strictObject({ step: count, read: count, distanceSteps: z.array(count).readonly() }),
  /** Bytes of the metrics files for the steps that have been read back. */
  metrics: z.strictObject({ lines: count, table: count }),
  tally: TallyRecord,
  spec: z.unknown(),
  specHash: z.string(),
  /** Hash of the training images and labels (dataFingerprint). */
  data: z.string(),
  /** One per stage of a growing batch; a single number for a single stage. */
  slabSamples: z
    .array(slab)
    .min(1)
    .or(slab.transform((samples) => [samples])),
  versions: z.record(z.string(), z.string()),
  adapter: z.looseObject({
    name: z.string(),
    variant: z.enum(VARIANTS).optional(),
    tuning: z.record(z.string(), z.record(z.string(), z.number().or(z.string()))).optional(),
  }),
});
export type CheckpointContent = z.infer<typeof CheckpointContent>;

/** The checkpoint from which a run continues. */
export interface RunCheckpoint {
  /** The file of its tensors. */
  readonly path: string;
  readonly content: CheckpointContent;
  readonly tensors: ReadonlyMap<string, StoredTensor["data"]>;
}

/**
 * The newest complete checkpoint in a run folder that belongs to the run; null if none was ever written.
 *
 * @param report is called for every damaged one that is skipped
 * @param before only checkpoints of fewer steps count
 * @param requireUsable throws DataError for one that does not match the run's other files
 * @throws DataError if there are checkpoints and none can be used, naming them; UsageError for those of another
 *   specification
 */
export function loadCheckpoint(
  runFolder: string,
  spec: RunSpec,
  {
    requireUsable = () => undefined,
    ...options
  }: {
    report: MessageSink;
    before?: number;
    requireUsable?: (checkpoint: RunCheckpoint) => void;
  },
): Promise<RunCheckpoint | null> {
  return new CheckpointFolder(runFolder).newestWhole((stored) => {
    const checkpoint = checked(stored, spec);
    requireUsable(checkpoint);
    return checkpoint;
  }, options);
}

function checked({ path, step, content, tensors }: StoredCheckpoint, spec: RunSpec): RunCheckpoint {
  const result = CheckpointContent.safeParse(content);
  if (!result.success)
    throw new DataError(`${path}: damaged: ${describeFault(result.error.issues, content)}`);
  const { position, specHash: hash } = result.data;
  const { step: done, read, distanceSteps } = position;
  const isOrdered =
    read <= done && done - read <= LOG_ROWS && distanceSteps.every((at) => at > read && at <= done);
  if (done !== step || !isOrdered)
    throw new DataError(`${path}: damaged: position ${JSON.stringify(position)} at step ${step}`);
  if (hash !== specHash(spec)) throw otherSpecification(path, result.data.spec, spec);
  return {
    path,
    content: result.data,
    tensors: new Map([...tensors].map(([name, { data }]) => [name, data])),
  };
}

function otherSpecification(path: string, kept: unknown, spec: RunSpec): UsageError {
  const before = (typeof kept === "object" && kept !== null ? kept : {}) as Record<string, unknown>;
  const text = (value: unknown) => JSON.stringify(value) ?? "unset";
  const differences = RUN_OPTION_KEYS.flatMap((key) => {
    const { formerly = key, default: fallback } = runOption(key);
    // A checkpoint from before an option was added lacks it; the run had its default.
    const [was, is] = [before[key] ?? before[formerly] ?? fallback ?? undefined, spec[key] ?? undefined];
    return text(was) === text(is) ? [] : [`${key} is ${text(is)}, and was ${text(was)}`];
  });
  return new UsageError(
    `${path}: belongs to a run with different options from config.yaml: ${differences.join("; ") || `base regime ${spec.baseRegime} had other numbers`}; restore config.yaml, or start a new run`,
  );
}
