// Programs on several ranks of an installed MPI library (Debian: apt-get install openmpi-bin mpich).
import { spawnSync } from "node:child_process";
import { BIN, type Ended, type Program, start } from "./program.ts";

export const LAUNCHERS = {
  OpenMPI: {
    program: "mpirun.openmpi",
    // OpenMPI refuses root, as in a container, and more ranks than cores without these options.
    words: ["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"],
  },
  MPICH: { program: "mpirun.mpich", words: [] },
} as const;
export type Mpi = keyof typeof LAUNCHERS;

/** Why this MPI library cannot be used; empty if it can. */
export function missingMpi(mpi: Mpi): string {
  const { program } = LAUNCHERS[mpi];
  const found = spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
  return found ? "" : `no ${mpi} here: ${program} not found (Debian: apt-get install openmpi-bin mpich)`;
}

/** Starts a JavaScript program on some ranks, with the node that runs the tests. */
export function startRanks(mpi: Mpi, ranks: number, words: readonly string[]): Program {
  const { program, words: options } = LAUNCHERS[mpi];
  const env = { DEBUG: "", NO_COLOR: "1" };
  return start(program, [...options, "-n", String(ranks), process.execPath, ...words], { env });
}

/** Starts the command line on some ranks. */
export function startGhostbatch(mpi: Mpi, ranks: number, words: readonly string[]): Program {
  return startRanks(mpi, ranks, [BIN, ...words]);
}

/** Runs it to its end. */
export function runGhostbatch(mpi: Mpi, ranks: number, words: readonly string[]): Promise<Ended> {
  return startGhostbatch(mpi, ranks, words).ended;
}
