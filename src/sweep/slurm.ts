/** A sweep as a job array of the Slurm workload manager. */
import { join } from "node:path";
import { runFolderPath } from "../storage/run-folder.ts";
import { UsageError } from "../support/errors.ts";
import { shellCommand } from "../support/shell-words.ts";
import type { Grid, GridRun } from "./grid.ts";
import type { SweepFolder } from "./sweep-folder.ts";

/** What each task requests from the cluster. */
export interface SlurmResources {
  /** Tasks at a time; undefined for as many as the cluster allows. */
  readonly jobs?: number | undefined;
  /** Time limit of a task in seconds, after which it is queued again; undefined for the partition's limit. */
  readonly timeLimit?: number | undefined;
  readonly partition?: string | undefined;
  /** Generic resources, e.g. gpu:1. */
  readonly gres?: string | undefined;
  /** Ranks of a run, one GPU each; undefined for a single process. */
  readonly gpusPerRun?: number | undefined;
  /** Memory of the host, e.g. 16G. */
  readonly mem?: string | undefined;
  /** Further options of sbatch, as written after #SBATCH. */
  readonly sbatch?: readonly string[] | undefined;
}

export interface SlurmOptions extends SlurmResources {
  /** The folder in which tasks run, absolute. */
  readonly directory: string;
  /** The whole command line of a run. */
  readonly commandOf: (run: GridRun) => readonly string[];
}

/** Seconds before the time limit at which a task is told to take a checkpoint. */
const NOTICE = 60;
/** Slurm counts time limits in minutes, and may send a signal up to 60 seconds too early (sbatch(1), --signal). */
const RESOLUTION = 60;
/** Minutes of the shortest task: the notice, the most that it may be early, and as long for training. */
const LEAST = (NOTICE + 2 * RESOLUTION) / 60;

/** Tasks of one array: Slurm's own default of MaxArraySize is 1001, and indices begin at 0 (slurm.conf(5)). */
const ARRAY_TASKS = 1000;

/** A grid in parts, each of which fits one array. */
export function slurmArrays(grid: Grid): Grid[] {
  const parts = Math.ceil(grid.runs.length / ARRAY_TASKS);
  return Array.from({ length: parts }, (_, i) => ({
    name: grid.name,
    runs: grid.runs.slice(i * ARRAY_TASKS, (i + 1) * ARRAY_TASKS),
  }));
}

/**
 * A shell script that submits arrays.
 * @param inTurn one after another, so that no more tasks run at a time than each allows
 */
export function submitScript(scripts: readonly string[], inTurn: boolean): string {
  const lines = scripts.map((script, i) => {
    const after = i === 0 || !inTurn ? "" : `--dependency=afterany:"\${array%%;*}" `;
    return `array=$(sbatch --parsable ${after}${shellCommand([script])})\necho "$array"`;
  });
  return `#!/bin/sh\nset -e\n${lines.join("\n")}\n`;
}

/**
 * A script for sbatch: one task per run, each of which resumes where it stopped. Before its time limit a task gets
 * SIGUSR2, takes a checkpoint, and requeues itself, unless it has made no progress: it would not make any next time
 * either. Preempted and requeued tasks, and those of a script that is submitted again, continue in the same way; finished ones
 * end at once.
 * @throws UsageError for a time limit that leaves no time to train
 */
export function slurmScript(grid: Grid, folder: SweepFolder, options: SlurmOptions): string {
  const { runs } = grid;
  const { commandOf } = options;
  const lines = [
    "#!/bin/bash",
    `#SBATCH --job-name=${grid.name}`,
    ...requests(runs.length, options),
    `#SBATCH --signal=B:USR2@${NOTICE}`,
    "#SBATCH --requeue",
    "#SBATCH --open-mode=append",
    "# Messages of Slurm about a task; the run's messages are in its own log.",
    // sbatch(1): %% is a percent sign in a file name.
    `#SBATCH --output=${shellCommand([join(folder.path.replaceAll("%", "%%"), "slurm-%A_%a.out")])}`,
    "# Relative paths of data sets start here.",
    `#SBATCH --chdir=${shellCommand([options.directory])}`,
    "",
    `output=${shellCommand([folder.path])}/slurm-"\${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID".out`,
    "case $SLURM_ARRAY_TASK_ID in",
    ...runs.map((run, task) => {
      const checkpoints = join(runFolderPath(folder.runsDirectory, run.name), "checkpoints");
      const places = `log=${shellCommand([folder.logOf(run)])}; checkpoints=${shellCommand([checkpoints])}`;
      return `${task}) ${places}; command=(${shellCommand(commandOf(run))}) ;;`;
    }),
    "esac",
    'echo "log of this task: $log"',
    'exec >>"$log" 2>&1',
    'taken() { ls "$checkpoints" 2>/dev/null | grep "^last-.*json$"; }',
    "before=$(taken)",
    "run=",
    'for signal in USR2 TERM; do trap "[ -z \\$run ] || kill -$signal \\$run" $signal; done',
    `${rankStarter(options)}"\${command[@]}" &`,
    "run=$!",
    "# A trap interrupts `wait` before the run ends.",
    "wait $run; code=$?",
    "while kill -0 $run 2>/dev/null; do wait $run; code=$?; done",
    "# 140: SIGUSR2 ended it. With a new checkpoint the task is requeued and continues.",
    '[ $code -ne 0 ] || rm -f "$output"',
    "[ $code -eq 140 ] || exit $code",
    'if [ "$(taken)" = "$before" ]; then',
    '  echo "error: SIGUSR2 arrived before the first step was done: use a longer --time-limit"',
    "  exit 1",
    "fi",
    `scontrol requeue "\${SLURM_ARRAY_JOB_ID}_\${SLURM_ARRAY_TASK_ID}"`,
    "exit $code",
  ];
  return `${lines.join("\n")}\n`;
}

/** The words that start the ranks of a run; none for a single rank. A rank that ends with an error ends the others. */
function rankStarter({ gpusPerRun = 1, gres }: SlurmResources): string {
  if (gpusPerRun === 1) return "";
  const gpu = gres === undefined ? " --gpus-per-task=1" : "";
  return `srun --ntasks=${gpusPerRun}${gpu} --kill-on-bad-exit=1 `;
}

/** The lines that request what a task needs. @throws UsageError for a time limit that leaves no time to train */
function requests(
  tasks: number,
  { jobs, timeLimit, partition, gres, gpusPerRun = 1, mem, sbatch = [] }: SlurmResources,
): string[] {
  // Slurm counts in minutes.
  const minutes = timeLimit === undefined ? undefined : Math.ceil(timeLimit / 60);
  if (minutes !== undefined && minutes < LEAST) {
    throw new UsageError(
      `--time-limit ${timeLimit}s: Slurm counts in minutes and signals ${NOTICE} s before the limit, up to ${RESOLUTION} s early; the minimum is ${LEAST}m`,
    );
  }
  const given = {
    array: `0-${tasks - 1}${jobs === undefined ? "" : `%${jobs}`}`,
    time: minutes,
    partition,
    gres,
    ntasks: gpusPerRun === 1 ? undefined : gpusPerRun,
    "gpus-per-task": gpusPerRun === 1 || gres !== undefined ? undefined : 1,
    mem,
  };
  const lines = Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}=${value}`],
  );
  return [...lines, ...sbatch].map((line) => `#SBATCH ${line}`);
}
