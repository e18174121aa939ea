import { join, resolve } from "node:path";
import Table from "cli-table3";
import { Command, Option } from "commander";
import { requireAdapter } from "../../host/node/open-gpu.ts";
import { outlinedData } from "../../run/dry-run.ts";
import { planRun } from "../../run/plan-run.ts";
import { writeFileAtomically } from "../../storage/atomic-file.ts";
import { StoppedError } from "../../support/errors.ts";
import { formatCount, formatDuration } from "../../support/format.ts";
import { shellCommand } from "../../support/shell-words.ts";
import { type Grid, type GridRun, readGrid } from "../../sweep/grid.ts";
import { slurmArrays, slurmScript, submitScript } from "../../sweep/slurm.ts";
import { Sweep } from "../../sweep/sweep.ts";
import { type RunStatus, SweepFolder } from "../../sweep/sweep-folder.ts";
import {
  adapterOption,
  checkpointInterval,
  dataDirOption,
  duration,
  jsonOption,
  runsDirOption,
  typedCommand,
  wholeNumber,
} from "../options.ts";
import { exitCodeOf, STOPPING } from "../signals.ts";
import { requireConsistent } from "../train-options.ts";

interface SweepFlags {
  jobs: number;
  timeLimit?: number;
  emit?: "slurm";
  status?: boolean;
  checkpointEvery?: string;
  adapter?: string;
  dataDir?: string;
  runsDir: string;
  json?: boolean;
}

const HELP = `
A grid is a YAML file: a name, the options of all runs (docs/OPTIONS.md), and options with a list of values each:

  name: rates
  base: {dataset: mnist, model: f1, batchSize: 1024, epochs: 10}
  grid:
    learningRate: [0.05, 0.1, 0.2]
    seed: [0, 1, 2]

Each run has its own folder; its log is in <runs-dir>/<name>.sweep/. Run the same command again to skip finished runs and continue
the others. The exit code is 1 if a run failed. SIGINT, SIGTERM, SIGHUP and SIGUSR2 save a checkpoint of every run, then exit 130,
143, 129, 140; a second SIGINT ends the runs at once.`;

export function sweepCommand(): Command {
  const command = new Command("sweep")
    .description("train every run of a grid, as local processes or a Slurm job array")
    .argument("<grid>", "YAML file");
  const options = [
    new Option("--jobs <count>", "number of runs to train at the same time")
      .argParser(wholeNumber(1))
      .default(1),
    new Option(
      "--time-limit <time>",
      "time (30s, 5m, 2h) after which a run saves a checkpoint and ends",
    ).argParser(duration),
    new Option(
      "--emit <system>",
      "write a script that runs the grid on this system, and run nothing",
    ).choices(["slurm"]),
    new Option("--status", "show which runs are done, running or failed, and run nothing"),
    new Option("--checkpoint-every <interval>", "checkpoint interval, as for train").argParser((text) => {
      checkpointInterval(text);
      return text; // each run is given it as it is
    }),
  ];
  for (const option of [...options, adapterOption(), dataDirOption(), runsDirOption(), jsonOption()])
    command.addOption(option);
  return command.addHelpText("after", HELP).action(sweep);
}

async function sweep(path: string, flags: SweepFlags): Promise<void> {
  const { jobs, timeLimit = null, json } = flags;
  const grid = readGrid(path);
  const folder = new SweepFolder(resolve(flags.runsDir), grid);
  if (flags.status) {
    print(await folder.statuses(grid.runs), json);
    return;
  }
  // What would end every run is told before any begins.
  for (const run of grid.runs) requireTrainable(flags, run);
  const words = trainWords(folder, flags);
  if (flags.emit === "slurm") {
    await emitSlurm(grid, folder, flags, words);
    return;
  }
  if (flags.adapter !== undefined) await requireAdapter(flags.adapter);
  await folder.create(grid.runs);
  const total = grid.runs.length;
  let ended = 0;
  const onStatus = (status: RunStatus) => {
    if (status.state !== "running") ended++;
    console.error(`[${ended}/${total}] ${status.name}: ${inWords(status)}`);
  };
  const running = new Sweep(folder, {
    jobs,
    timeLimit,
    program: process.execPath,
    commandOf: words,
    onStatus,
  });
  let interrupts = 0;
  const stop = (signal: NodeJS.Signals) =>
    running.stop(signal === "SIGINT" && ++interrupts > 1 ? "SIGKILL" : signal);
  for (const signal of STOPPING) process.on(signal, stop);
  const statuses = await running.run(grid.runs);
  print(statuses, json);
  const { stopped } = running;
  if (stopped !== null)
    throw new StoppedError(`stopped by ${stopped}; continue with: ${typedCommand()}`, exitCodeOf(stopped));
  if (statuses.some(({ state }) => state !== "done")) process.exitCode = 1;
}

/** Scripts of arrays of as many tasks as Slurm takes, and one that submits them where they are several. */
async function emitSlurm(
  grid: Grid,
  folder: SweepFolder,
  { jobs, timeLimit }: SweepFlags,
  words: (run: GridRun) => string[],
): Promise<void> {
  const commandOf = (run: GridRun) => [process.execPath, ...words(run)];
  const options = { jobs, timeLimit: timeLimit ?? null, directory: process.cwd(), commandOf };
  const arrays = slurmArrays(grid);
  const scripts = arrays.map((part, i) => ({
    path: join(folder.path, arrays.length === 1 ? "submit.sbatch" : `submit-${i + 1}.sbatch`),
    text: slurmScript(part, folder, options),
  }));
  await folder.create(grid.runs);
  for (const { path, text } of scripts) await writeFileAtomically(path, text);
  let command = `sbatch ${shellCommand([scripts[0]!.path])}`;
  if (scripts.length > 1) {
    const all = join(folder.path, "submit.sh");
    await writeFileAtomically(all, submitScript(scripts.map(({ path }) => path)));
    command = `sh ${shellCommand([all])}`;
  }
  const parts = scripts.length === 1 ? "" : `, in ${scripts.length} arrays`;
  console.log(`${formatCount(grid.runs.length)} runs${parts}: submit them with\n${command}`);
}

/** @throws what `train` throws of a run before it reads any data, in the same words */
function requireTrainable(flags: SweepFlags, { spec }: GridRun): void {
  requireConsistent(flags, spec);
  const outline = outlinedData(spec);
  if (outline !== null) planRun(spec, outline.facts);
}

/** The command line of a run after the name of Node. */
function trainWords(
  folder: SweepFolder,
  { adapter, dataDir, checkpointEvery }: SweepFlags,
): (run: GridRun) => string[] {
  const common = [
    ...(adapter === undefined ? [] : ["--adapter", adapter]),
    ...(dataDir === undefined ? [] : ["--data-dir", resolve(dataDir)]),
    ...(checkpointEvery === undefined ? [] : ["--checkpoint-every", checkpointEvery]),
    "--runs-dir",
    folder.runsDirectory,
  ];
  // With a name, --resume begins a run where it has not been begun.
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

function inWords({ state, why, summary, step }: RunStatus): string {
  if (summary)
    return `done, ${summary.accuracy.toFixed(2)} % after ${formatCount(summary.steps)} steps in ${formatDuration(summary.seconds)}`;
  const at = step > 0 ? ` (checkpoint of step ${formatCount(step)})` : "";
  return `${state}${at}${why === "" ? "" : `: ${why}`}`;
}

function print(statuses: readonly RunStatus[], json: boolean | undefined): void {
  if (json) {
    console.log(JSON.stringify(statuses, null, 2));
    return;
  }
  const table = new Table({
    head: ["run", "state", "accuracy", "steps", "time"],
    style: { head: [], border: [] },
    colAligns: ["left", "left", "right", "right", "right"],
  });
  for (const { name, state, summary, step } of statuses) {
    const accuracy = summary ? `${summary.accuracy.toFixed(2)} %` : "";
    table.push([
      name,
      state,
      accuracy,
      formatCount(summary?.steps ?? step),
      summary ? formatDuration(summary.seconds) : "",
    ]);
  }
  console.log(table.toString());
  // Reasons are sentences: no column is wide enough.
  for (const { name, state, why } of statuses) if (why !== "") console.log(`${name} ${state}: ${why}`);
  const count = (state: RunStatus["state"]) => statuses.filter((status) => status.state === state).length;
  console.log(
    (["done", "running", "stopped", "failed", "waiting"] as const)
      .map((state) => `${count(state)} ${state}`)
      .join(", "),
  );
}
