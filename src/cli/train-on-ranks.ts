/** `train` in one of several processes started by a launcher. */
import type { GpuSession } from "../host/node/gpu-session.ts";
import type { Launch } from "../host/node/mpi/launcher.ts";
import { requireOwnAdapters } from "../run/rank-adapters.ts";
import { requireAgreement } from "../run/rank-agreement.ts";
import { agreedControl, onAllRanks, onRankZero } from "../run/ranks.ts";
import { tidyFinishedRun } from "../run/resume.ts";
import type { RunControl } from "../run/run-control.ts";
import { type ReadyRun, readyRun, startFollowing } from "../run/runner.ts";
import { UsageError } from "../support/errors.ts";
import type { Communicator } from "../train/communicator.ts";
import { shardsOfRank } from "../train/shards.ts";
import { joinRanks } from "./join-ranks.ts";
import { givenOptions, type TrainFlags } from "./train-options.ts";
import { printSummary, type TrainTask, taskOf, trainReady } from "./train-task.ts";
import { loadOptions } from "./transfer-line.ts";

export function trainOnRanks(launch: Launch, local: RunControl, flags: TrainFlags): Promise<void> {
  return joinRanks(launch, flags, async ({ session, communicator, adapters }) => {
    await onRankZero(communicator, () => (flags.shareAdapter ? undefined : requireOwnAdapters(adapters)));
    await trainTogether(session, communicator, local, flags);
  });
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
  // The first rank downloads and decodes the data, which the others then find.
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
  const { size } = communicator;
  if (!Number.isInteger(Math.log2(size)))
    throw new UsageError(
      `${size} ranks: expected a power of two, because the shards of a batch are added in pairs; start ${2 ** Math.floor(Math.log2(size))} or ${2 ** Math.ceil(Math.log2(size))}`,
    );
  const task = await taskOf(flags, given, size);
  shardsOfRank(task.spec.shards, communicator);
  return task;
}
