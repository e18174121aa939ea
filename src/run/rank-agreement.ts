/** Checks before the first step that all ranks of a run agree. */
import type { Gpu } from "../gpu/gpu.ts";
import { EndedElsewhereError, UsageError } from "../support/errors.ts";
import { type Communicator, rankName } from "../train/communicator.ts";
import type { TrainerSequence } from "../train/trainer-sequence.ts";
import { dataFingerprint } from "./data-fingerprint.ts";
import { versions } from "./environment.ts";
import type { PreparedRun } from "./prepare.ts";
import { gatherValues, knownToAll } from "./ranks.ts";
import { specHash } from "./spec-hash.ts";

/** A readable name, and the value. */
export type Facts = Readonly<Record<string, unknown>>;

/** Everything that decides the bits of a rank's part of a step. */
export function factsOfRank(
  gpu: Gpu,
  { spec, dataset }: PreparedRun,
  { trainers }: Pick<TrainerSequence, "trainers">,
): Facts {
  const { adapter, variant, tuning } = gpu;
  return {
    ...Object.fromEntries(
      Object.entries(versions()).map(([name, version]) => [`version of ${name}`, version]),
    ),
    "run specification": specHash(spec),
    "training data": dataFingerprint(dataset),
    adapter: adapter.name,
    "kernel variant": variant,
    "kernel tiles": tuning.choices,
    "images in a slab": trainers.map(({ slabSamples }) => slabSamples),
  };
}

/** @throws UsageError on rank 0, naming the first fact in which a rank differs from it; EndedElsewhereError on the others */
export async function requireAgreement(communicator: Communicator, own: Facts): Promise<void> {
  if (communicator.size === 1) return;
  const all = await gatherValues(communicator, own);
  const text = (value: unknown) => JSON.stringify(value) ?? "none";
  for (const key of new Set(all.flatMap((facts) => Object.keys(facts)))) {
    const rank = all.findIndex((facts) => text(facts[key]) !== text(all[0]![key]));
    if (rank < 0) continue;
    if (communicator.rank > 0) throw knownToAll(new EndedElsewhereError());
    throw knownToAll(
      new UsageError(
        `ranks: ${key} of ${rankName(communicator, rank)} is ${shortened(text(all[rank]![key]))}, but ${shortened(text(all[0]![key]))} on ` +
          `${rankName(communicator, 0)}: start all ranks with the same command on machines of one kind with the same installation and data`,
      ),
    );
  }
}

/** Kernel choices may be a long list. */
function shortened(text: string): string {
  return text.length <= 100 ? text : `${text.slice(0, 100)}…`;
}
