/** Runs a specification on a GPU, and stores the results in its run folder. */

import type { Gpu } from "../gpu/gpu.ts";
import { stateDict } from "../nn/state-dict.ts";
import type { RunFolder } from "../storage/run-folder.ts";
import { encodeSafetensors } from "../storage/safetensors.ts";
import { writeTensorBoard } from "../storage/tensorboard.ts";
import { DataError, StoppedError } from "../support/errors.ts";
import type { MessageSink } from "../support/messages.ts";
import { mean } from "../support/statistics.ts";
import { type Position, START } from "../train/checkpoint.ts";
import type { Communicator } from "../train/communicator.ts";
import type { TrainEvent } from "../train/trainer.ts";
import type { TrainerSequence } from "../train/trainer-sequence.ts";
import { Checkpointer, type CheckpointOptions, DEFAULT_CHECKPOINTS } from "./checkpointer.ts";
import { dataFingerprint } from "./data-fingerprint.ts";
import { type Divergence, divergenceError, divergenceIn, divergenceOfState } from "./divergence.ts";
import { versions } from "./environment.ts";
import { batchStages } from "./growing-batch.ts";
import { type MetricColumn, writeEvent } from "./metric-lines.ts";
import { factsOf } from "./plan-run.ts";
import type { PreparedRun } from "./prepare.ts";
import { knownToAll, ONE_RANK, onRankZero, type Ranks } from "./ranks.ts";
import type { CheckpointContent, RunCheckpoint } from "./run-checkpoint.ts";
import { RunControl } from "./run-control.ts";
import type { RunSummary } from "./run-summary.ts";
import { withTrainers } from "./run-trainers.ts";
import { retainedByStages } from "./run-warnings.ts";
import { specHash } from "./spec-hash.ts";
import { Tally } from "./tally.ts";

export interface Progress {
  readonly step: number;
  readonly totalSteps: number;
  readonly imagesPerSecond: number;
  readonly secondsLeft: number;
  readonly loss: number;
  readonly testAccuracy: number | null;
  /** Time that steps have waited for a streamed data set so far, ms. */
  readonly waitMs?: number;
}

/** How to execute a run; none of this changes its result. */
export interface ExecuteOptions {
  readonly checkpoints?: CheckpointOptions;
  /** Steps between read-backs of the metrics. */
  readonly logEvery?: number;
  readonly control?: RunControl;
  readonly onProgress?: (progress: Progress) => void;
  /** Receives lines for the user. */
  readonly report?: MessageSink;
  /** The processes that train it; this one is rank 0. */
  readonly ranks?: Ranks;
}

/**
 * Runs to the end, from the start or from a checkpoint.
 * @throws StoppedError if `control` requests it; DivergenceError for NaN or infinities; DeviceLostError, after which
 *   the run can be executed again on a new device; DataError if writing fails
 */
export async function executeRun(
  gpu: Gpu,
  prepared: PreparedRun,
  folder: RunFolder<MetricColumn>,
  options: ExecuteOptions = {},
  from: RunCheckpoint | null = null,
): Promise<RunSummary> {
  const setupStart = performance.now();
  const { logEvery, ranks = ONE_RANK, report = console.error } = options;
  return withTrainers(gpu, prepared, from, { logEvery, ranks }, (sequence) => {
    reportUntuned(gpu, prepared, report);
    return trainInFolder(sequence, prepared, folder, { ...options, setupStart, from });
  });
}

/** Tells how many shapes `ghostbatch tune` could still measure for a run. */
function reportUntuned({ tuning }: Gpu, { spec }: PreparedRun, report: (line: string) => void): void {
  const open = tuning.tellOpen();
  if (open === 0) return;
  const { model, batchSize, ghostSize, precision } = spec;
  const ghosts = typeof ghostSize === "number" ? ` --ghost-size ${ghostSize}` : "";
  const stored = precision === "mixed" ? " --precision mixed" : "";
  report(
    `note: ${open} kernel shapes run with untuned tiles: \`ghostbatch tune --model ${model.replace(/#.*/, "")} --batch-size ${batchSize}${ghosts}${stored}\` measures them`,
  );
}

/** A run in progress: the state that its steps, its checkpoints and its end share. */
interface Execution {
  readonly sequence: TrainerSequence;
  readonly prepared: PreparedRun;
  readonly folder: RunFolder<MetricColumn>;
  readonly tally: Tally;
  readonly checkpointer: Checkpointer;
  readonly control: RunControl;
  readonly onProgress: (progress: Progress) => void;
  readonly report: MessageSink;
  readonly from: RunCheckpoint | null;
  readonly communicator: Communicator;
}

async function trainInFolder(
  sequence: TrainerSequence,
  prepared: PreparedRun,
  folder: RunFolder<MetricColumn>,
  {
    checkpoints = DEFAULT_CHECKPOINTS,
    control = new RunControl(),
    onProgress = () => undefined,
    report = console.error,
    ranks = ONE_RANK,
    setupStart,
    from,
  }: ExecuteOptions & { setupStart: number; from: RunCheckpoint | null },
): Promise<RunSummary> {
  const { gpu } = sequence;
  await folder.requireHeld();
  await folder.rewind(from?.content.metrics ?? null);
  await gpu.settle();
  const setupSeconds = (performance.now() - setupStart) / 1000;

  const tally = new Tally(from?.content.tally);
  const describe = describeCheckpoint(sequence, prepared, folder, tally);
  const checkpointer = new Checkpointer(folder, sequence, { options: checkpoints, describe });
  await checkpointer.begin(from);
  const { communicator } = ranks;
  const run = {
    sequence,
    prepared,
    folder,
    tally,
    checkpointer,
    control,
    onProgress,
    report,
    from,
    communicator,
  };
  try {
    await trainToEnd(run);
    return await finish(run, setupSeconds);
  } finally {
    // However it ended: the caller closes the folder, or reads its checkpoints.
    await checkpointer.idle();
  }
}

/** The JSON of a checkpoint at a position. */
function describeCheckpoint(
  { gpu, trainers }: TrainerSequence,
  { spec, dataset }: PreparedRun,
  folder: RunFolder<MetricColumn>,
  tally: Tally,
): (position: Position) => CheckpointContent {
  const sameInAll = {
    format: 1,
    spec,
    specHash: specHash(spec),
    data: dataFingerprint(dataset),
    slabSamples: trainers.map(({ slabSamples }) => slabSamples),
    versions: versions(),
    adapter: { ...gpu.adapter, variant: gpu.variant, tuning: gpu.tuning.choices },
  } as const;
  return (position) => ({
    ...sameInAll,
    position,
    metrics: folder.metricsPosition,
    tally: tally.record(),
  });
}

/** @throws StoppedError or DivergenceError if the run ends before its last step */
async function trainToEnd(run: Execution): Promise<void> {
  const { sequence, folder, tally, checkpointer, control, report, from, communicator } = run;
  const { spec } = run.prepared;
  const { onNan, precision } = spec;
  let divergence: Divergence | null = null;
  let stoppedAt: number | null = control.stop ? (from?.content.position.step ?? 0) : null;
  const afterStep = async (position: Position) => {
    if (divergence) return false;
    const best = tally.best?.step === position.step ? tally.best : null;
    const goesOn = await checkpointer.afterStep(position, best, control);
    if (!goesOn) stoppedAt = position.step;
    return goesOn;
  };
  const start = from?.content.position ?? START;
  for await (const event of stoppedAt === null ? sequence.run(start, afterStep) : []) {
    tally.add(event);
    noteEvent(run, event);
    divergence = divergenceIn(event, { onNan, precision, tally, report });
    if (divergence) break;
  }
  await checkpointer.settle();
  if (stoppedAt !== null && !divergence) {
    const stateIsFinite = await onRankZero(communicator, () => checkpointer.stateIsFinite);
    if (!stateIsFinite) divergence = divergenceOfState(stoppedAt);
  }
  if (divergence) {
    const where = { folder: folder.path, spec, communicator };
    throw await divergenceError(sequence, { divergence, report, control, ...where });
  }
  if (stoppedAt !== null) throw knownToAll(stopped(run, stoppedAt));
}

/** Writes an event to the metrics, and reports progress. */
function noteEvent({ sequence, folder, tally, onProgress }: Execution, event: TrainEvent): void {
  const step = event.kind === "metrics" ? event.steps.at(-1)!.step : event.step;
  const { totalSteps, waitMs } = sequence;
  const { seconds, loss } = tally;
  const imagesPerSecond = sequence.samplesAt(step) / seconds;
  writeEvent(folder, event, imagesPerSecond);
  const secondsLeft = (seconds / step) * (totalSteps - step);
  const testAccuracy = tally.evaluations.at(-1)?.accuracy ?? null;
  onProgress({ step, totalSteps, imagesPerSecond, secondsLeft, loss, testAccuracy, waitMs });
}

/** Writes the weights and outcome of a run after its last step. */
async function finish(run: Execution, setupSeconds: number): Promise<RunSummary> {
  const { sequence, folder, checkpointer, report } = run;
  await folder.write("weights.safetensors", encodeSafetensors(await stateDict(sequence.state)));
  await checkpointer.writeBest();
  const summary = summaryOf(run, setupSeconds);
  // Before the outcome, so that it is written again if the process is killed in between.
  await unlessRefused(writeTensorBoard(folder.path), report);
  await folder.finish(summary);
  await unlessRefused(checkpointer.finish(), report);
  return summary;
}

function summaryOf({ sequence, prepared, tally }: Execution, setupSeconds: number): RunSummary {
  const { trainers, totalSteps, flops, gpu } = sequence;
  const { seconds, testLoss, skippedSteps, distance, best, reestimatedAccuracy } = tally;
  const samples = sequence.samplesAt(totalSteps);
  const { plan, options } = trainers[0]!;
  const accuracies = tally.evaluations.map(({ accuracy }) => accuracy);
  return {
    accuracy: accuracies.at(-1)!,
    ...(reestimatedAccuracy !== null && { reestimatedAccuracy }),
    best: best!.accuracy,
    bestStep: best!.step,
    lastFive: mean(accuracies.slice(-5)),
    testLoss,
    steps: totalSteps,
    retainedStatistics: retainedByStages(batchStages(prepared, factsOf(prepared.dataset))),
    skippedSteps,
    samples,
    flops,
    seconds,
    setupSeconds,
    imagesPerSecond: samples / seconds,
    ...distance,
    ghostSize: options.epoch.largest.ghostSize,
    slabSamples: Math.max(...trainers.map(({ slabSamples }) => slabSamples)),
    dispatchesPerStep: plan.dispatches,
    gpuBytes: gpu.allocatedBytes,
  };
}

/** Awaits something that a finished run does not depend on, and reports a failure. */
async function unlessRefused(done: Promise<unknown>, report: MessageSink): Promise<void> {
  await done.catch((error: unknown) => {
    if (!(error instanceof DataError)) throw error;
    report(`warning: ${error.message}`);
  });
}

function stopped({ sequence, control, folder }: Execution, step: number): StoppedError {
  const { by, exitCode } = control.stop!;
  return new StoppedError(
    `stopped by ${by} after step ${step} of ${sequence.totalSteps}; continue with: ${control.resumeCommand(folder.path)}`,
    exitCode,
  );
}
