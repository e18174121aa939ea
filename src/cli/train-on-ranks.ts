/** `train` in one of several processes that a launcher has started. */
import { GpuSession } from "../host/node/gpu-session.ts";
import type { Launch } from "../host/node/mpi/launcher.ts";
import { MpiCommunicator } from "../host/node/mpi/mpi-communicator.ts";
import { requireAgreement } from "../run/rank-agreement.ts";
import { agreedControl, isKnownToAll, onAllRanks, onRankZero } from "../run/ranks.ts";
import { tidyFinishedRun } from "../run/resume.ts";
import type { RunControl } from "../run/run-control.ts";
import { type ReadyRun, readyRun, startFollowing } from "../run/runner.ts";
import { type Communicator, rankName } from "../train/communicator.ts";
import { shardsOfRank } from "../train/shards.ts";
import { reportError } from "./report-error.ts";
import { givenOptions, type TrainFlags } from "./train-options.ts";
import { printSummary, type TrainTask, taskOf, trainReady } from "./train-task.ts";
import { loadOptions } from "./transfer-line.ts";

/** Seconds that the slowest rank may take longer than the others: compiling kernels and writing a checkpoint take minutes at most. */
const WATCHDOG = 600;

/** Trains with the other ranks. An error of this rank alone ends the whole job; one of all of them ends each in order. */
export async function trainOnRanks(launch: Launch, local: RunControl, flags: TrainFlags): Promise<void> {
  const { adapter, tuning, watchdog = WATCHDOG } = flags;
  const session = new GpuSession({ adapter, tuning });
  // First: it may start the command line anew, on the software GPU.
  const gpu = await session.open();
  const patient = gpu.adapter.software;
  const communicator = await MpiCommunicator.open({ launch, patient, watchdogMs: 1000 * watchdog });
  const { rank } = communicator;
  try {
    await trainTogether(session, communicator, local, flags);
  } catch (error) {
    const exitCode = reportError(error, rank === 0 ? "" : rankName(communicator, rank));
    if (!isKnownToAll(error)) {
      communicator.abort(exitCode);
      await new Promise(() => undefined); // until that has ended this process
    }
    // A launcher that sees another code of some rank ends the others, which may still have something to say.
    process.exitCode = rank === 0 ? exitCode : 0;
  }
  await communicator.close();
}

async function trainTogether(
  session: GpuSession,
  communicator: Communicator,
  local: RunControl,
  flags: TrainFlags,
): Promise<void> {
  const { rank, size } = communicator;
  const given = await onAllRanks(communicator, () => givenOptions(flags));
  await requireAgreement(communicator, given);
  const task = await onRankZero(communicator, () => taskOnRanks(flags, given, communicator));
  if (task.path !== null && task.finished) {
    if (rank > 0) return;
    console.error(`${task.path} has already finished`);
    await tidyFinishedRun(task.path);
    printSummary(task.finished, task.path, flags);
    return;
  }
  // The first rank downloads and decodes what the others then find.
  let ready: ReadyRun | null = null;
  await onRankZero(communicator, async () => {
    ready = await readyRun(session, task.spec, loadOptions(task.dataPlace));
    for (const warning of ready.warnings) console.error(`warning: ${warning}`);
    console.error(
      `${size} ranks on ${[...new Set(communicator.hosts)].join(", ")}, ${task.spec.shards} shards`,
    );
    return null;
  });
  const run = await onAllRanks(communicator, () => ready ?? readyRun(session, task.spec, task.dataPlace));
  const { control, votes } = agreedControl(local, communicator);
  const ranks = { communicator, votes };
  const { logEvery } = flags;
  if (rank === 0) await trainReady(session, run, task.path, { control, ranks }, flags);
  else await startFollowing(session, run, { control, ranks, logEvery });
}

async function taskOnRanks(
  flags: TrainFlags,
  given: ReturnType<typeof givenOptions>,
  communicator: Communicator,
): Promise<TrainTask> {
  const task = await taskOf(flags, given, communicator.size);
  shardsOfRank(task.spec.shards, communicator);
  return task;
}
