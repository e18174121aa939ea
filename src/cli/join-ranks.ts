/** What every verb does that runs on several ranks: a GPU for each, MPI between them, and an end that all share. */
import type { Gpu } from "../gpu/gpu.ts";
import { GpuSession } from "../host/node/gpu-session.ts";
import type { Launch } from "../host/node/mpi/launcher.ts";
import { MpiCommunicator } from "../host/node/mpi/mpi-communicator.ts";
import { takeRankGpu } from "../host/node/rank-adapter.ts";
import { type RankAdapter, rankAdapters } from "../run/rank-adapters.ts";
import { isKnownToAll } from "../run/ranks.ts";
import { type Communicator, rankName } from "../train/communicator.ts";
import { reportError } from "./report-error.ts";

/** Seconds that the slowest rank may take longer than the others: compiling kernels and writing a checkpoint take minutes at most. */
const WATCHDOG = 600;

export interface JoinFlags {
  readonly adapter?: string | undefined;
  readonly tuning?: string | undefined;
  /** Seconds. */
  readonly watchdog?: number | undefined;
}

export interface JoinedRanks {
  readonly session: GpuSession;
  readonly gpu: Gpu;
  readonly communicator: Communicator;
  /** The GPUs of all ranks. */
  readonly adapters: readonly RankAdapter[];
}

/** Runs `body` with the other ranks. An error of this rank alone ends the whole job; one of all of them ends each in order. */
export async function joinRanks(
  launch: Launch,
  { adapter, tuning, watchdog = WATCHDOG }: JoinFlags,
  body: (ranks: JoinedRanks) => Promise<void>,
): Promise<void> {
  const rankGpu = takeRankGpu(launch.localRank);
  const session = new GpuSession({ adapter, tuning });
  // Before MPI: it may start the command line anew, on the software GPU.
  const gpu = await session.open();
  const { name, software } = gpu.adapter;
  const communicator = await MpiCommunicator.open({ launch, patient: software, watchdogMs: 1000 * watchdog });
  const { rank } = communicator;
  try {
    const adapters = await rankAdapters(communicator, { adapter: name, software, ...rankGpu });
    await body({ session, gpu, communicator, adapters });
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
