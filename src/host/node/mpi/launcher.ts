/** Whether this process is one of several that a launcher has started, told from what launchers leave in the environment. */
import { hostname } from "node:os";
import { env } from "../../../support/env.ts";
import { UsageError } from "../../../support/errors.ts";

export interface Launch {
  /** In words, for messages. */
  readonly launcher: string;
  readonly rank: number;
  readonly size: number;
  /** Which of the ranks on this machine this one is, from 0; null where the launcher does not say. */
  readonly localRank: number | null;
  /** The words that start so many ranks again. */
  readonly startWords: readonly string[];
  /** Which kind of library the launcher can start; null for any. */
  readonly library: "openmpi" | "mpich" | null;
}

/** --distributed: MPI or nothing, whatever the environment says. */
export type Distributed = "mpi" | "none";

/** What the launcher says; null for a process without one, and for one alone. */
function detected(): Launch | null {
  const { openmpi, pmi, pmix, slurm } = env.launcher;
  const number = (text: string | undefined) => (text === undefined ? null : Number(text));
  if (openmpi.size() !== undefined)
    return {
      launcher: "OpenMPI's mpirun",
      rank: Number(openmpi.rank()),
      size: Number(openmpi.size()),
      localRank: number(openmpi.localRank()),
      startWords: ["mpirun", "-n", openmpi.size()!],
      library: "openmpi",
    };
  if (pmi.size() !== undefined)
    return {
      launcher: slurm.step() === undefined ? "mpiexec" : "srun",
      rank: Number(pmi.rank()),
      size: Number(pmi.size()),
      localRank: number(pmi.localRank() ?? slurm.localRank()),
      startWords: slurm.step() === undefined ? ["mpiexec", "-n", pmi.size()!] : srun(pmi.size()!),
      library: "mpich", // whose file names end with the one that any library may have
    };
  // Within sbatch there is no step: a script is one process, whatever number of tasks it may start.
  if (slurm.step() === undefined || slurm.tasks() === undefined) return null;
  return {
    launcher: "srun",
    rank: Number(pmix.rank() ?? slurm.rank()),
    size: Number(slurm.tasks()),
    localRank: number(slurm.localRank()),
    startWords: srun(slurm.tasks()!),
    library: null,
  };
}

const srun = (tasks: string) => ["srun", `--ntasks=${tasks}`];

/** This process, where it is one of several and not the first: "rank 3 (node7)". */
export function followingRank(): string | null {
  const launch = detected();
  return launch === null || launch.rank === 0 ? null : `rank ${launch.rank} (${hostname()})`;
}

/** @throws UsageError under a launcher of several processes, which would all do the same */
export function requireOneProcess(what: string): void {
  const launch = detected();
  if (launch === null || launch.size === 1) return;
  throw new UsageError(
    `${what}: ${launch.launcher} has started ${launch.size} processes, which would all do the same; start one (only train and doctor use several)`,
  );
}

/**
 * The ranks that this process belongs to; null where it is alone, and needs no MPI.
 * @throws UsageError for `none` under a launcher of several ranks, which would all do the same, and for `mpi` without one
 */
export function launchOf(distributed?: Distributed): Launch | null {
  const launch = detected();
  if (distributed === "mpi" && launch === null)
    throw new UsageError(
      "--distributed mpi: this process was not started by mpirun, mpiexec or srun; start it as in `mpirun -n 2 ghostbatch train …`",
    );
  if (launch === null || launch.size === 1) return null;
  if (distributed === "none")
    throw new UsageError(
      `--distributed none: ${launch.launcher} has started ${launch.size} processes, which would all train the same run; start one, or omit the option`,
    );
  return launch;
}
