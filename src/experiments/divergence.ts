/** NaN and infinities in a run: what counts, and where they come from. */
import { DivergenceError } from "../support/errors.ts";
import { findNonFinite, type NonFiniteSource } from "../train/diagnose.ts";
import type { StepMetrics, TrainEvent } from "../train/trainer.ts";
import type { TrainerSequence } from "../train/trainer-sequence.ts";
import { loadCheckpoint } from "./run-checkpoint.ts";
import type { RunSpec } from "./run-spec.ts";
import type { Tally } from "./tally.ts";

type MetricsEvent = Extract<TrainEvent, { kind: "metrics" }>;

export interface Divergence {
  /** What is not finite, in words. */
  readonly what: string;
  /** The first step, from 1, whose loss or gradient norm is not finite; null where only parameters are not. */
  readonly badStep: number | null;
  /** The last step that was read back. */
  readonly readUntil: number;
}

/** Skipped steps in a row with which a run has come to an end: nothing changes any more. */
const MOST_SKIPPED = 100;

/**
 * What of a read-back ends the run, or null. Under `skip`, a loss or a gradient that is not finite does not: it has not
 * reached the parameters, unless that goes on for long. Skipped steps are counted and told.
 */
export function divergenceIn(
  { steps, nonFiniteParameters }: MetricsEvent,
  { onNan, tally, report }: { onNan: RunSpec["onNan"]; tally: Tally; report: (line: string) => void },
): Divergence | null {
  const readUntil = steps.at(-1)!.step;
  for (const metrics of steps) {
    const { step, loss, gradientNorm } = metrics;
    const bad = !isFiniteStep(metrics);
    const numbers = `the loss is ${loss} and the gradient norm ${gradientNorm}`;
    if (onNan === "stop") {
      if (bad) return { what: `step ${step}: ${numbers}`, badStep: step, readUntil };
      continue;
    }
    tally.countStep(bad);
    if (!bad) continue;
    if (tally.skippedInARow < MOST_SKIPPED) report(`step ${step} skipped: ${numbers}`);
    else
      return {
        what: `step ${step}: ${numbers}, after ${MOST_SKIPPED - 1} skipped steps in a row`,
        badStep: step,
        readUntil,
      };
  }
  if (nonFiniteParameters === 0) return null;
  const what = `after step ${readUntil}: ${nonFiniteParameters} parameters are NaN or infinite`;
  return { what, badStep: null, readUntil };
}

/** Replays from the last checkpoint before it and says where it began. */
export async function divergenceError(
  sequence: TrainerSequence,
  {
    divergence,
    folder,
    spec,
    report,
  }: { divergence: Divergence; folder: string; spec: RunSpec; report: (line: string) => void },
): Promise<DivergenceError> {
  const { what, badStep, readUntil } = divergence;
  const checkpoint = await loadCheckpoint(folder, spec, { report, before: badStep ?? readUntil });
  const from = checkpoint?.content.position.step ?? 0;
  report(
    `${what}: replaying from ${checkpoint ? `the checkpoint of step ${from}` : "the start"} to find where it began`,
  );
  const restore = () =>
    checkpoint ? sequence.keeper.restore(checkpoint.tensors, checkpoint.path) : sequence.keeper.restart();
  const source = await findNonFinite(sequence, { restore, from, to: readUntil, badStep });
  const kept = checkpoint ? `the last good checkpoint is ${checkpoint.path}` : "there was no checkpoint yet";
  return new DivergenceError(
    `${what}; ${whereFrom(source)}; the run has diverged (try a smaller learning rate, or a clip norm); ${kept}`,
  );
}

function whereFrom(source: NonFiniteSource | null): string {
  if (!source) return "it did not come up again when the steps were replayed, which points to the device";
  const layer = source.layer === null ? "" : `, layer ${source.layer}`;
  return `first produced in step ${source.step} by ${source.kernel}${layer} (${source.output})`;
}

function isFiniteStep({ loss, gradientNorm }: StepMetrics): boolean {
  return Number.isFinite(loss) && Number.isFinite(gradientNorm);
}
