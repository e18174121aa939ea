import { resolve } from "node:path";
import Table from "cli-table3";
import { Command, Option } from "commander";
import { requireAdapter } from "../../host/node/open-gpu.ts";
import { StoppedError } from "../../support/errors.ts";
import { formatCount, formatDuration } from "../../support/format.ts";
import { type GridRun, readGrid } from "../../sweep/grid.ts";
import { Sweep } from "../../sweep/sweep.ts";
import { type RunStatus, SweepFolder } from "../../sweep/sweep-folder.ts";
import {
  addEmitOptions,
  type EmitFlags,
  emitSlurm,
  onGpus,
  requireEmit,
  requirePlannable,
  trainWords,
} from "../emit-slurm.ts";
import {
  adapterOption,
  assumeLimitsOption,
  checkpointInterval,
  dataDirOption,
  duration,
  jsonOption,
  type PlanFlags,
  runsDirOption,
  typedCommand,
  wholeNumber,
} from "../options.ts";
import { dryRun, openSession } from "../request.ts";
import { exitCodeOf, STOPPING } from "../signals.ts";
import { requireConsistent } from "../train-options.ts";

interface SweepFlags extends EmitFlags, PlanFlags {
  status?: boolean;
  checkpointEvery?: string;
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
    new Option(
      "--jobs <count>",
      "number of runs to train at the same time (default: 1; with --emit: all)",
    ).argParser(wholeNumber(1)),
    new Option(
      "--time-limit <time>",
      "time (30s, 5m, 2h) after which a run saves a checkpoint and ends",
    ).argParser(duration),
    new Option("--dry-run", "print steps, learning rates and cost of every run; train nothing"),
    new Option("--status", "show which runs are done, running or failed, and run nothing"),
    new Option("--checkpoint-every <interval>", "checkpoint interval, as for train").argParser((text) => {
      checkpointInterval(text);
      return text; // passed to each run unchanged
    }),
  ];
  const shared = [assumeLimitsOption(), adapterOption(), dataDirOption(), runsDirOption(), jsonOption()];
  for (const option of [...options, ...shared]) command.addOption(option);
  return addEmitOptions(command, { local: true }).addHelpText("after", HELP).action(sweep);
}

async function sweep(path: string, flags: SweepFlags): Promise<void> {
  const { timeLimit = null, json } = flags;
  requireEmit(flags, { local: true });
  const read = await readGrid(path);
  const grid = { ...read, runs: onGpus(read.runs, flags) };
  const folder = new SweepFolder(resolve(flags.runsDir), grid);
  if (flags.status) {
    print(await folder.statuses(grid.runs), json);
    return;
  }
  // Errors that would end every run are reported before any begins.
  for (const run of grid.runs) requireTrainable(flags, run);
  const { adapter, checkpointEvery } = flags;
  const given = Object.entries({ "--adapter": adapter, "--checkpoint-every": checkpointEvery });
  const words = trainWords(
    folder,
    flags,
    given.flatMap(([option, value]) => (value === undefined ? [] : [option, value])),
  );
  const session = openSession(flags);
  if (flags.dryRun) {
    const requests = grid.runs.map(({ name, spec }) => ({ title: name, label: name, spec }));
    await dryRun(session, requests, flags);
    return;
  }
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
    jobs: flags.jobs ?? 1,
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

/** @throws what `train` throws about a run before reading any data, with the same message */
function requireTrainable(flags: SweepFlags, run: GridRun): void {
  requireConsistent(flags, run.spec);
  requirePlannable(run);
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
    style: { head: [], border: [], compact: true },
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
  // Reasons are sentences, too wide for a column.
  for (const { name, state, why } of statuses) if (why !== "") console.log(`${name} ${state}: ${why}`);
  const count = (state: RunStatus["state"]) => statuses.filter((status) => status.state === state).length;
  console.log(
    (["done", "running", "stopped", "failed", "waiting"] as const)
      .map((state) => `${count(state)} ${state}`)
      .join(", "),
  );
}
