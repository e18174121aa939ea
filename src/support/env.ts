/**
 * Every environment variable that the project reads, in one place. `doctor` prints this table, and nothing else
 * in src/ touches process.env. In a browser all of them are unset.
 */

interface Variable {
  readonly name: string;
  readonly meaning: string;
}

const registry = new Map<string, Variable>();

function define(name: string, meaning: string): () => string | undefined {
  if (registry.has(name)) throw new Error(`environment variable ${name} is defined twice`);
  registry.set(name, { name, meaning });
  return () => globalThis.process?.env?.[name];
}

const debug = define(
  "DEBUG",
  "1: device, compilations and stack traces; 2: also a line per replayed dispatch with its time and rates; 3: also allocations; 4: also overrides in the compilation lines; 5: submit every dispatch separately, so that an error names its kernel; `allocations`: only allocations",
);
const variant = define(
  "GHOSTBATCH_VARIANT",
  "narrow, wide or matrix: the kernel variants to use instead of those that `doctor` shows; narrow needs subgroups of 8 lanes, matrix subgroup matrices",
);
const cache = define(
  "GHOSTBATCH_CACHE",
  "folder for decoded images and measurements of the adapter (default: ghostbatch in XDG_CACHE_HOME or ~/.cache)",
);
const xdgCache = define("XDG_CACHE_HOME", "the system's cache folder");
const decodeThreads = define(
  "UV_THREADPOOL_SIZE",
  "number of Node's worker threads, which decode images (default: 4); set it to the number of cores for streamed data sets",
);

const DRI_PRIME = "DRI_PRIME";
const driPrime = define(
  DRI_PRIME,
  "GPU that Mesa selects, by PCI address, e.g. pci-0000_65_00_0! (default: by local rank)",
);
const mpiLibrary = define(
  "GHOSTBATCH_MPI",
  "MPI library for runs on several ranks (default: the libmpi.so that matches the launcher)",
);
const UCX_EVENTS = "UCX_MEM_EVENTS";
const ucxEvents = define(
  UCX_EVENTS,
  "whether UCX, the transport of many MPI libraries, overwrites code of the C library to learn of freed memory (default: no, since threads may be running it)",
);
/** A variable that an MPI launcher sets in each process it starts. */
const ofLauncher = (name: string, of: string) => define(name, `set by ${of} in each rank`);
const launcher = {
  openmpi: {
    rank: ofLauncher("OMPI_COMM_WORLD_RANK", "OpenMPI"),
    size: ofLauncher("OMPI_COMM_WORLD_SIZE", "OpenMPI"),
    localRank: ofLauncher("OMPI_COMM_WORLD_LOCAL_RANK", "OpenMPI"),
  },
  pmi: {
    rank: ofLauncher("PMI_RANK", "MPICH and its derivatives"),
    size: ofLauncher("PMI_SIZE", "MPICH and its derivatives"),
    localRank: ofLauncher("MPI_LOCALRANKID", "MPICH and its derivatives"),
    channel: ofLauncher("PMI_FD", "MPICH and its derivatives"),
  },
  pmix: { rank: ofLauncher("PMIX_RANK", "launchers with PMIx") },
  slurm: {
    step: ofLauncher("SLURM_STEP_ID", "Slurm's srun"),
    rank: ofLauncher("SLURM_PROCID", "Slurm's srun"),
    tasks: ofLauncher("SLURM_STEP_NUM_TASKS", "Slurm's srun"),
    localRank: ofLauncher("SLURM_LOCALID", "Slurm's srun"),
  },
};

function set(name: string, value: string): void {
  const variables = globalThis.process?.env as Record<string, string> | undefined;
  if (variables) variables[name] = value;
}

export const env = {
  /** Level of diagnostic output, 0 to 5. A name pattern, as other packages use in DEBUG, counts as 0. */
  debugLevel(): number {
    const level = Number(debug() ?? 0);
    return Number.isInteger(level) ? level : 0;
  },
  /** Whether to print a line for every buffer created on the GPU. */
  debugAllocations(): boolean {
    return this.debugLevel() >= 3 || debug() === "allocations";
  },
  cache,
  xdgCache,
  decodeThreads,
  variant,
  mpiLibrary,
  launcher,
  driPrime,
  /** Chooses a GPU for drivers that this process loads later. */
  setDriPrime(value: string): void {
    set(DRI_PRIME, value);
  },
  /** Keeps UCX, if this process loads it later, from overwriting code, unless the user has chosen. Only the main thread's variables reach libraries. */
  keepUcxFromPatching(): void {
    if (ucxEvents() === undefined) set(UCX_EVENTS, "no");
  },
  /** The environment for a child process: this process's own, with some variables set, or unset if undefined. */
  forChild(changes: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
    return { ...globalThis.process?.env, ...changes };
  },
  variables(): readonly Variable[] {
    return [...registry.values()];
  },
};
