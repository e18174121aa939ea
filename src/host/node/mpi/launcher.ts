/** Detects from the environment whether this process is one of several started by an MPI launcher. */
import { hostname } from "node:os";
import { env } from "../../../support/env.ts";
import { UsageError } from "../../../support/errors.ts";

export interface Launch {
  /** The launcher's name, for messages. */
  readonly launcher: string;
  readonly rank: number;
  readonly size: number;
  /** This rank's index among those on this machine, from 0; null if the launcher does not say. */
  readonly localRank: number | null;
  /** Command-line words that start the given number of ranks. */
  readonly startWords: readonly string[];
  /** The kind of MPI library that the launcher can start; null for any. */
  readonly library: "openmpi" | "mpich" | null;
}

/** --distributed: use MPI or not, whatever the environment says. */
export type Distributed = "mpi" | "none";

/** The launcher's information; null for a process without one, or for a single process. */
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
      library: "mpich", // whose file names include the generic one
    };
  // An sbatch script itself is not a step: it is one process, however many tasks it may start.
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

/** This process's name if it is one of several and not the first: "rank 3 (node7)". */
export function followingRank(): string | null {
  const launch = detected();
  return launch === null || launch.rank === 0 ? null : `rank ${launch.rank} (${hostname()})`;
}

/** @throws UsageError if a launcher has started several processes, which would all do the same */
export function requireOneProcess(what: string): void {
  const launch = detected();
  if (launch === null || launch.size === 1) return;
  throw new UsageError(
    `${what}: ${launch.launcher} has started ${launch.size} processes, which would all do the same; start one (only train and doctor use several)`,
  );
}

/**
 * The ranks to which this process belongs; null if it is alone, and needs no MPI.
 * @throws UsageError for `none` if a launcher has started several ranks, which would all do the same, and for `mpi` without one
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
