/** NaN and infinities in a run: which end it, and where they come from. */

import { DivergenceError, GhostbatchError, messageOf } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { type Communicator, rankName } from "../train/communicator.ts";
import { findNonFinite, type NonFiniteSource } from "../train/diagnose.ts";
import type { StepMetrics, TrainEvent } from "../train/trainer.ts";
import type { TrainerSequence } from "../train/trainer-sequence.ts";
import { broadcastCheckpoint } from "./rank-checkpoint.ts";
import { broadcastValue, gatherValues, knownToAll } from "./ranks.ts";
import { loadCheckpoint, type RunCheckpoint } from "./run-checkpoint.ts";
import type { RunControl } from "./run-control.ts";
import type { RunSpec } from "./run-spec.ts";
import type { Tally } from "./tally.ts";

type MetricsEvent = Extract<TrainEvent, { kind: "metrics" }>;

export interface Divergence {
  /** Description of what is not finite. */
  readonly what: string;
  /** The first step, from 1, whose loss or gradient norm is not finite; null if only the state is not. */
  readonly badStep: number | null;
  /** The last step read back. */
  readonly readUntil: number;
  /** False if no step wrote a NaN or an infinity, i.e. only a value computed from the state is not finite. */
  readonly isInSteps: boolean;
}

/** Consecutive skipped steps that end a run, because nothing changes any more. */
const MOST_SKIPPED = 100;

/**
 * The reason why an event ends the run, or null. Under `skip`, a non-finite loss or gradient does not, unless it lasts: it has not
 * reached the parameters. In mixed precision the same holds for a non-finite gradient with a finite loss. Skipped steps are counted
 * and reported. A non-finite state, evaluation or distance always ends the run.
 */
export function divergenceIn(
  event: TrainEvent,
  options: {
    onNan: RunSpec["onNan"];
    precision?: RunSpec["precision"];
    tally: Tally;
    report: MessageSink;
  },
): Divergence | null {
  if (event.kind === "metrics") return divergenceOfSteps(event, options) ?? divergenceOfDistances(event);
  const { kind, step, loss } = event;
  if (Number.isFinite(loss)) return null;
  const evaluation = kind === "reestimated" ? "evaluation with re-estimated statistics" : "evaluation";
  const what = `the ${evaluation} after step ${step}: the test loss is ${loss}`;
  return { what, badStep: null, readUntil: step, isInSteps: false };
}

/** For a run that is stopped between two read-backs with a non-finite state. */
export function divergenceOfState(step: number): Divergence {
  const what = `after step ${step}: parameters, their velocity or running statistics are NaN or infinite`;
  return { what, badStep: null, readUntil: step, isInSteps: true };
}

function divergenceOfDistances({ steps, distances }: MetricsEvent): Divergence | null {
  const bad = distances.find((at) => !Number.isFinite(at.distanceFirst) || !Number.isFinite(at.distanceAll));
  if (!bad) return null;
  const what = `after step ${bad.step}: the distance from the start is ${bad.distanceAll}`;
  return { what, badStep: null, readUntil: steps.at(-1)!.step, isInSteps: false };
}

function divergenceOfSteps(
  { steps, nonFinite }: MetricsEvent,
  { onNan, precision = "f32", tally, report }: Parameters<typeof divergenceIn>[1],
): Divergence | null {
  const readUntil = steps.at(-1)!.step;
  for (const metrics of steps) {
    const { step, loss, gradientNorm } = metrics;
    const bad = !isFiniteStep(metrics);
    const numbers = `the loss is ${loss} and the gradient norm ${gradientNorm}`;
    // A gradient that has overflowed f16 does not affect the parameters; the loss is correct.
    const overflowed = precision === "mixed" && Number.isFinite(loss) && bad;
    if (bad && onNan === "stop" && !overflowed)
      return { what: `step ${step}: ${numbers}`, badStep: step, readUntil, isInSteps: true };
    tally.countStep(bad);
    if (!bad) continue;
    if (tally.skippedInARow < MOST_SKIPPED)
      report(`step ${step} skipped: ${numbers}${overflowed ? "; --loss-scale sets a smaller scale" : ""}`);
    else
      return {
        what: `step ${step}: ${numbers}, after ${MOST_SKIPPED - 1} skipped steps in a row`,
        badStep: step,
        readUntil,
        isInSteps: true,
      };
  }
  if (nonFinite === 0) return null;
  const what = `after step ${readUntil}: ${nonFinite} of the parameters and running statistics are NaN or infinite`;
  return { what, badStep: null, readUntil, isInSteps: true };
}

interface DivergenceFields {
  readonly divergence: Divergence;
  /** The run's folder; only on rank 0. */
  readonly folder: string;
  readonly spec: RunSpec;
  readonly report: MessageSink;
  readonly control: RunControl;
  readonly communicator: Communicator;
}

/**
 * Finds where it began: replays the steps from the last checkpoint before it, unless the run is asked to stop. All ranks of a
 * run replay them together.
 */
export async function divergenceError(
  sequence: TrainerSequence,
  fields: DivergenceFields,
): Promise<DivergenceError> {
  const { what } = fields.divergence;
  const { checkpoint, problem } = await lastGoodCheckpoint(fields);
  const { origin, ofData } =
    problem === null
      ? await originOf(sequence, checkpoint, fields)
      : { origin: "its origin was not searched for", ofData: false };
  const none = problem ?? "there was no checkpoint yet";
  const kept = checkpoint ? `the last good checkpoint is ${checkpoint.path}` : none;
  const advice = ofData
    ? "the images are not finite after normalization (check their values, means and standard deviations)"
    : "the run has diverged (try a smaller learning rate, or a clip norm)";
  return knownToAll(new DivergenceError(`${what}; ${origin}; ${advice}; ${kept}`));
}

/** The state to replay from, on every rank; or why there is none. */
async function lastGoodCheckpoint({
  divergence: { badStep, readUntil },
  folder,
  spec,
  report,
  communicator,
}: DivergenceFields): Promise<{ checkpoint: RunCheckpoint | null; problem: string | null }> {
  let own: RunCheckpoint | null = null;
  let problem: string | null = null;
  try {
    if (communicator.rank === 0)
      own = await loadCheckpoint(folder, spec, { report, before: badStep ?? readUntil });
  } catch (error) {
    if (!(error instanceof GhostbatchError)) throw error;
    problem = messageOf(error);
  }
  const told = await broadcastValue(communicator, problem);
  return { checkpoint: await broadcastCheckpoint(communicator, own), problem: told };
}

/** The kernels that gather a batch from the data set. */
const DATA_KERNELS = "batch/";

interface Origin {
  /** Description of the origin. */
  readonly origin: string;
  /** Whether the first kernel that wrote it gathers batches, so that training is not the cause. */
  readonly ofData: boolean;
}

const notOfData = (origin: string): Origin => ({ origin, ofData: false });

async function originOf(
  sequence: TrainerSequence,
  checkpoint: RunCheckpoint | null,
  { divergence: { what, badStep, readUntil, isInSteps }, report, control, communicator }: DivergenceFields,
): Promise<Origin> {
  if (!isInSteps) return notOfData("every parameter is finite, but a computation with them overflows");
  // Ranks cannot give up at different times.
  const givenUp = () => communicator.size === 1 && control.stop !== null;
  const from = checkpoint?.content.position.step ?? 0;
  if (!givenUp())
    report(
      `${what}: replaying from ${checkpoint ? `the checkpoint of step ${from}` : "the start"} to find its origin`,
    );
  const restore = () =>
    checkpoint ? sequence.keeper.restore(checkpoint.tensors, checkpoint.path) : sequence.keeper.restart();
  const own = await findNonFinite(sequence, { restore, from, to: readUntil, badStep, givenUp });
  const sources = await gatherValues(communicator, own);
  const rank = sources.findIndex((found) => found !== null);
  const source = sources[rank];
  if (source) {
    const where = communicator.size === 1 ? "" : `, on ${rankName(communicator, rank)}`;
    return { origin: `${whereFrom(source)}${where}`, ofData: source.kernel.startsWith(DATA_KERNELS) };
  }
  if (givenUp()) return notOfData(`its origin was not searched for: ${control.stop!.by}`);
  if (communicator.size > 1)
    return notOfData("no rank's shards produced it: it came with the sum of their gradients or the update");
  return notOfData("replaying the steps did not reproduce it, which suggests a device fault");
}

function whereFrom({ step, kernel, layer, output }: NonFiniteSource): string {
  return `first produced in step ${step} by ${kernel}${layer === null ? "" : `, layer ${layer}`} (${output})`;
}

function isFiniteStep({ loss, gradientNorm }: StepMetrics): boolean {
  return Number.isFinite(loss) && Number.isFinite(gradientNorm);
}
