/** A rank other than 0. It trains as rank 0 does (execute.ts), but writes and prints nothing. */
import type { Gpu } from "../gpu/gpu.ts";
import { EndedElsewhereError } from "../support/errors.ts";
import { START } from "../train/checkpoint.ts";
import { type Divergence, divergenceError, divergenceIn, divergenceOfState } from "./divergence.ts";
import type { PreparedRun } from "./prepare.ts";
import { knownToAll, onRankZero, type Ranks } from "./ranks.ts";
import type { RunCheckpoint } from "./run-checkpoint.ts";
import type { RunControl } from "./run-control.ts";
import { withTrainers } from "./run-trainers.ts";
import { Tally } from "./tally.ts";

export interface FollowOptions {
  readonly ranks: Ranks;
  /** What all ranks have agreed on. */
  readonly control: RunControl;
  readonly logEvery: number | undefined;
}

/** @throws EndedElsewhereError if rank 0 reports why the run ends; errors of this rank alone */
export async function followRun(
  gpu: Gpu,
  prepared: PreparedRun,
  { ranks, control, logEvery }: FollowOptions,
  from: RunCheckpoint | null,
): Promise<void> {
  const { spec } = prepared;
  const report = () => undefined;
  await withTrainers(gpu, prepared, from, { logEvery, ranks }, async (sequence) => {
    const tally = new Tally(from?.content.tally);
    let divergence: Divergence | null = null;
    let stoppedAt: number | null = null;
    const afterStep = ({ step }: { readonly step: number }) => {
      if (divergence) return false;
      if (control.stop) stoppedAt = step;
      return stoppedAt === null;
    };
    for await (const event of sequence.run(from?.content.position ?? START, afterStep)) {
      tally.add(event);
      divergence = divergenceIn(event, { onNan: spec.onNan, tally, report });
      if (divergence) break;
    }
    if (stoppedAt !== null && !divergence) {
      const stateIsFinite = await onRankZero(ranks.communicator, () => true); // rank 0 has read the state
      if (!stateIsFinite) divergence = divergenceOfState(stoppedAt);
    }
    const { communicator } = ranks;
    if (divergence)
      await divergenceError(sequence, { divergence, folder: "", spec, report, control, communicator });
    if (divergence || stoppedAt !== null) throw knownToAll(new EndedElsewhereError());
  });
}
