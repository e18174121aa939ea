/** A sweep as a job array of the Slurm workload manager. */
import type { Grid, GridRun } from "./grid.ts";
import type { SweepFolder } from "./sweep-folder.ts";

export interface SlurmOptions {
  /** Tasks at a time. */
  readonly jobs: number;
  /** Seconds that one task may take before it is queued again; null for the partition's own limit. */
  readonly timeLimit: number | null;
  /** The whole command line of a run. */
  readonly commandOf: (run: GridRun) => readonly string[];
}

/** Seconds before its time limit at which a task is told to take a checkpoint. */
const NOTICE = 60;

/**
 * A script for sbatch: one task per run, each of which resumes where it stopped. Before its time limit a task gets
 * SIGUSR2, takes a checkpoint, and queues itself again; preempted and requeued tasks, and those of a script that is
 * submitted again, go on likewise, and finished ones end at once.
 */
export function slurmScript(
  grid: Grid,
  folder: SweepFolder,
  { jobs, timeLimit, commandOf }: SlurmOptions,
): string {
  const { runs } = grid;
  // Slurm counts in minutes.
  const minutes = timeLimit === null ? null : Math.ceil(timeLimit / 60);
  const lines = [
    "#!/bin/bash",
    `#SBATCH --job-name=${grid.name}`,
    `#SBATCH --array=0-${runs.length - 1}%${jobs}`,
    ...(minutes === null ? [] : [`#SBATCH --time=${minutes}`]),
    `#SBATCH --signal=B:USR2@${NOTICE}`,
    "#SBATCH --requeue",
    "#SBATCH --open-mode=append",
    "#SBATCH --output=/dev/null",
    "# Further #SBATCH lines of your cluster belong here, e.g. --partition and --gres=gpu:1.",
    "",
    "case $SLURM_ARRAY_TASK_ID in",
    ...runs.map(
      (run, task) =>
        `${task}) log=${quoted(folder.logOf(run))}; command=(${commandOf(run).map(quoted).join(" ")}) ;;`,
    ),
    "esac",
    'exec >>"$log" 2>&1',
    `"\${command[@]}" &`,
    "run=$!",
    "trap 'kill -USR2 $run' USR2",
    "trap 'kill -TERM $run' TERM",
    "# A trap ends `wait` before the run has ended.",
    "wait $run; code=$?",
    "while kill -0 $run 2>/dev/null; do wait $run; code=$?; done",
    "# 140: it took a checkpoint at SIGUSR2. It goes on in another turn.",
    `if [ $code -eq 140 ]; then scontrol requeue "\${SLURM_ARRAY_JOB_ID}_\${SLURM_ARRAY_TASK_ID}"; fi`,
    "exit $code",
  ];
  return `${lines.join("\n")}\n`;
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
