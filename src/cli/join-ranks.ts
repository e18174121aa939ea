/** What verbs that run on several ranks share: a GPU for each, MPI between them, and a common end. */
import type { Gpu } from "../gpu/gpu.ts";
import { GpuSession } from "../host/node/gpu-session.ts";
import type { Launch } from "../host/node/mpi/launcher.ts";
import { MpiCommunicator } from "../host/node/mpi/mpi-communicator.ts";
import { takeRankGpu } from "../host/node/rank-adapter.ts";
import { type RankAdapter, rankAdapters } from "../run/rank-adapters.ts";
import { isKnownToAll } from "../run/ranks.ts";
import { type Communicator, rankName } from "../train/communicator.ts";
import { reportError } from "./report-error.ts";

/** Seconds by which the slowest rank may lag behind the others; compiling kernels and writing a checkpoint take at most minutes. */
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

/** Runs `body` with the other ranks. An error of only this rank ends the whole job; one of all ranks ends each properly. */
export async function joinRanks(
  launch: Launch,
  { adapter, tuning, watchdog = WATCHDOG }: JoinFlags,
  body: (ranks: JoinedRanks) => Promise<void>,
): Promise<void> {
  const rankGpu = takeRankGpu(launch.localRank);
  const session = new GpuSession({ adapter, tuning });
  // Before MPI, because it may restart the command line on the software GPU.
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
      await new Promise(() => undefined); // until MPI has ended this process
    }
    // If a rank exits with another code, the launcher ends the others, which may still have messages to print.
    process.exitCode = rank === 0 ? exitCode : 0;
  }
  await communicator.close();
}
