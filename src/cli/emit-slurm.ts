/** --emit slurm: writes scripts that train a list of runs as a job array; options for what each task needs. */
import { join, resolve } from "node:path";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { LoadOptions } from "../datasets/load.ts";
import { outlinedData } from "../run/dry-run.ts";
import { flagOf } from "../run/option-names.ts";
import { planRun } from "../run/plan-run.ts";
import { completeSpec, type RunSpec } from "../run/run-spec.ts";
import { writeFileAtomically } from "../storage/atomic-file.ts";
import { UsageError } from "../support/errors.ts";
import { formatCounted } from "../support/format.ts";
import { shellCommand } from "../support/shell-words.ts";
import type { Grid, GridRun } from "../sweep/grid.ts";
import { type SlurmResources, slurmArrays, slurmScript, submitScript } from "../sweep/slurm.ts";
import type { SweepFolder } from "../sweep/sweep-folder.ts";
import { shardsOfRank } from "../train/shards.ts";
import { duration, wholeNumber } from "./options.ts";

export interface EmitFlags extends SlurmResources {
  emit?: "slurm";
}

/** --emit, and options for resources that only Slurm uses. */
function emitOptions(): Option[] {
  return [
    new Option(
      "--emit <system>",
      "instead of training, write a script that trains the runs on this system",
    ).choices(["slurm"]),
    new Option("--partition <name>", "with --emit: partition to submit to").argParser(oneLine),
    new Option("--gres <list>", "with --emit: generic resources of each run, e.g. gpu:1").argParser(oneLine),
    new Option(
      "--gpus-per-run <count>",
      "with --emit: GPUs that train each run together, one rank with one GPU each (default: 1); runs have as many shards",
    ).argParser(wholeNumber(1)),
    new Option("--mem <amount>", "with --emit: host memory of each run, e.g. 16G").argParser(oneLine),
    new Option(
      "--sbatch <option>",
      "with --emit: further option of sbatch, e.g. --sbatch=--account=NAME; may be repeated",
    ).argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), oneLine(text)]),
  ];
}

/** Adds all options of --emit, including, for verbs that lack them, those for concurrent runs and time. */
export function addEmitOptions(command: Command, { local }: { local: boolean }): Command {
  const options = local
    ? emitOptions()
    : [
        ...emitOptions(),
        new Option(
          "--time-limit <time>",
          "with --emit: time (2h) after which a run saves a checkpoint and is queued again (default: the partition's)",
        ).argParser(duration),
        new Option(
          "--jobs <count>",
          "with --emit: number of runs to train at the same time (default: all)",
        ).argParser(wholeNumber(1)),
      ];
  for (const option of options) command.addOption(option);
  return command;
}

/** @throws UsageError for an option that has an effect only with --emit */
export function requireEmit(flags: EmitFlags, { local }: { local: boolean }): void {
  if (flags.emit !== undefined) return;
  const { partition, gres, mem, sbatch, jobs, timeLimit } = flags;
  const emitted = { partition, gres, mem, sbatch, ...(!local && { jobs, "time-limit": timeLimit }) };
  // Without --emit, an experiment finds its runs by the same number of shards.
  const given = { ...emitted, ...(local && { "gpus-per-run": flags.gpusPerRun }) };
  const name = Object.entries(given).find(([, value]) => value !== undefined)?.[0];
  if (name !== undefined) throw new UsageError(`--${name}: needs --emit slurm`);
}

/**
 * The runs for training on several GPUs: with one shard per GPU, unless they set shards.
 * @throws UsageError for a number of GPUs that cannot share the shards of a run evenly
 */
export function onGpus<R extends { readonly spec: RunSpec }>(
  runs: readonly R[],
  { gpusPerRun = 1 }: EmitFlags,
): R[] {
  if (!Number.isInteger(Math.log2(gpusPerRun)))
    throw new UsageError(
      `--gpus-per-run ${gpusPerRun}: expected a power of two, because the shards of a batch are added in pairs`,
    );
  return runs.map((run) => {
    const { shards } = run.spec;
    const spec = completeSpec({ ...run.spec, shards: shards === 1 ? gpusPerRun : shards }, flagOf);
    shardsOfRank(spec.shards, { rank: 0, size: gpusPerRun });
    return { ...run, spec };
  });
}

/** Writes scripts of arrays of as many tasks as Slurm allows, and one that submits them if there are several; prints how to submit. */
export async function emitSlurm(
  grid: Grid,
  folder: SweepFolder,
  resources: SlurmResources,
  words: (run: GridRun) => string[],
): Promise<void> {
  const commandOf = (run: GridRun) => [process.execPath, ...words(run)];
  const options = { ...resources, directory: process.cwd(), commandOf };
  const arrays = slurmArrays(grid);
  const scripts = arrays.map((part, i) => ({
    path: join(folder.path, arrays.length === 1 ? "submit.sbatch" : `submit-${i + 1}.sbatch`),
    text: slurmScript(part, folder, options),
  }));
  if (resources.gres === undefined && (resources.gpusPerRun ?? 1) === 1)
    console.error(
      "note: the script requests no GPU; if your cluster requires that, add --gres, e.g. --gres gpu:1",
    );
  await folder.create(grid.runs);
  for (const { path, text } of scripts) await writeFileAtomically(path, text);
  let command = `sbatch ${shellCommand([scripts[0]!.path])}`;
  if (scripts.length > 1) {
    const all = join(folder.path, "submit.sh");
    const paths = scripts.map(({ path }) => path);
    await writeFileAtomically(all, submitScript(paths, resources.jobs !== undefined));
    command = `sh ${shellCommand([all])}`;
  }
  const parts = scripts.length === 1 ? "" : `, in ${scripts.length} arrays`;
  const what = grid.runs.length === 1 ? "it" : "them";
  console.log(`${formatCounted(grid.runs.length, "run")}${parts}: submit ${what} with\n${command}`);
}

/** The command line of a run after the name of Node. @param more options of `train` for all runs */
export function trainWords(
  folder: SweepFolder,
  { dataDir }: Pick<LoadOptions, "dataDir">,
  more: readonly string[],
): (run: GridRun) => string[] {
  const common = [
    ...more,
    ...(dataDir === undefined ? [] : ["--data-dir", resolve(dataDir)]),
    "--runs-dir",
    folder.runsDirectory,
  ];
  // With a name, --resume starts a run that has not been started.
  return (run) => [
    ...process.execArgv,
    resolve(process.argv[1]!),
    "train",
    "--config",
    folder.configOf(run),
    "--name",
    run.name,
    "--resume",
    ...common,
  ];
}

/** @throws what `train` throws about a run before reading any data, with the same message */
export function requirePlannable({ spec }: GridRun): void {
  const outline = outlinedData(spec);
  if (outline !== null) planRun(spec, outline.facts);
}

/** A value that must be one line of the script. */
function oneLine(text: string): string {
  if (text.trim() === "" || /\s*\n/.test(text)) throw new InvalidArgumentError("Expected one line.");
  return text;
}
