/** Carries out a list of runs for `reproduce`: prints the cost of all, then runs each that is not finished. */

import { basename, join } from "node:path";
import Table from "cli-table3";
import type { Command } from "commander";
import type { LoadOptions } from "../datasets/load.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { GpuSession } from "../host/node/gpu-session.ts";
import type { Images } from "../paper/images.ts";
import { type ExperimentRecord, RECORD_SUFFIX } from "../report/experiment-record.ts";
import { costsOf, measureRate, type RunCost } from "../run/cost.ts";
import { refusalsOf } from "../run/fit.ts";
import { RunControl } from "../run/run-control.ts";
import { ghostSizeOf, type RunSpec } from "../run/run-spec.ts";
import { type FinishedRun, finishedRun, runOnce } from "../run/runner.ts";
import { specHash } from "../run/spec-hash.ts";
import { writeFileAtomically } from "../storage/atomic-file.ts";
import { makeFolder } from "../storage/folder.ts";
import { removeAbandonedFiles } from "../storage/leftovers.ts";
import { CapacityError, DataError } from "../support/errors.ts";
import {
  formatCount,
  formatCounted,
  formatDuration,
  formatNumber,
  formatQuantity,
} from "../support/format.ts";
import {
  adapterOption,
  assumeLimitsOption,
  type CheckpointFlags,
  checkpointOptions,
  checkpointsOf,
  dataDirOption,
  jsonOption,
  type PlanFlags,
  planOptions,
  resumeWords,
  runsDirOption,
  typedCommand,
} from "./options.ts";
import { ProgressLine } from "./progress.ts";
import { signalHelp, withSignals } from "./signals.ts";
import { loadOptions } from "./transfer-line.ts";

export interface RequestedRun {
  /** Its name in progress lines. */
  readonly title: string;
  /** Prefix of the run folder's name. */
  readonly label: string;
  readonly spec: RunSpec;
  /** Where its images come from, if it is a row of the paper's tables. */
  readonly images?: Images;
  /** What the user can do instead of this run if it does not fit. */
  readonly otherwise?: string;
}

/** The run as a plan sees it: with images of the size and shape that the paper's have, if only unseen files tell theirs. */
export function plannedSpec({ spec, images }: RequestedRun): RunSpec {
  return images === undefined ? spec : { ...spec, dataset: images.planned };
}

export interface RequestFlags extends CheckpointFlags, PlanFlags {
  dataDir?: string;
  runsDir: string;
  json?: boolean;
}

/** Options of every verb that runs a list. */
export function addRequestOptions(command: Command): Command {
  const options = [adapterOption(), dataDirOption(), runsDirOption(), jsonOption(), ...checkpointOptions()];
  for (const option of options) command.addOption(option);
  return command
    .option("--dry-run", "print steps, learning rates and cost of every run; train nothing")
    .addOption(assumeLimitsOption())
    .addHelpText("after", `\n${signalHelp("the same command continues")}`);
}

/** @param notes lines to print when the GPU is opened, because opening the software GPU starts the command line again */
export function openSession(flags: PlanFlags, notes: readonly string[] = []): GpuSession {
  const onOpen = (gpu: Gpu) => {
    for (const note of notes) console.error(note);
    announce(gpu);
  };
  return new GpuSession({ ...planOptions(flags), onOpen });
}

/** Prints steps, rates and cost of runs. */
export async function dryRun(
  session: GpuSession,
  runs: readonly RequestedRun[],
  flags: Pick<RequestFlags, "dataDir" | "json">,
): Promise<void> {
  const [gpu, specs, load] = [await session.open(), runs.map(plannedSpec), loadOptions(flags)];
  const costs = await costsOf(gpu, specs, load);
  const refusals = await refusalsOf(gpu, specs, load);
  if (flags.json) {
    const described = costs.map((cost, i) => ({ title: runs[i]!.title, ...cost, refused: refusals[i] }));
    console.log(JSON.stringify(described, null, 2));
    return;
  }
  const table = new Table({
    head: [
      "run",
      "batch",
      "ghosts of",
      "steps/epoch",
      "epochs",
      "steps",
      "learning rate (from step)",
      "samples",
      "FLOP",
    ],
    style: { head: [], border: [], compact: true },
    colAligns: ["left", ...new Array<"right">(5).fill("right"), "left", "right", "right"],
  });
  for (const [i, cost] of costs.entries()) {
    const { spec, stepsPerEpoch, warmupSteps, epochs, steps, phases, samples, flops } = cost;
    table.push([
      runs[i]!.title,
      spec.batchSize,
      ghostSizeOf(spec),
      formatCount(stepsPerEpoch),
      formatNumber(epochs),
      formatCount(steps),
      (warmupSteps > 0 ? `warm-up over ${formatCount(warmupSteps)} steps to ` : "") +
        phases
          .map(({ step, learningRate }) => `${formatNumber(learningRate)} (${formatCount(step)})`)
          .join(", "),
      formatCount(samples),
      formatQuantity(flops, "FLOP"),
    ]);
  }
  console.log(table.toString());
  for (const [i, refusal] of refusals.entries())
    if (refusal !== null) console.log(`does not fit: ${refusedRun(runs[i]!, refusal)}`);
  const distinct = distinctCosts(costs);
  const total = distinct.reduce((sum, { flops }) => sum + flops, 0);
  console.log(
    `${formatCounted(distinct.length, "different run")}, ${formatQuantity(total, "FLOP")} in total, evaluation excluded`,
  );
}

/** Prints the cost, runs everything that is not finished, and returns one result per request, in order. */
export function carryOut(
  session: GpuSession,
  runs: readonly RequestedRun[],
  flags: RequestFlags,
): Promise<FinishedRun[]> {
  const control = new RunControl({ resumeWords: resumeWords(flags) });
  return withSignals(control, flags, () => runMissing(session, runs, flags, control));
}

async function runMissing(
  session: GpuSession,
  runs: readonly RequestedRun[],
  flags: RequestFlags,
  control: RunControl,
): Promise<FinishedRun[]> {
  const { runsDir } = flags;
  const load = loadOptions(flags);
  const finished = await Promise.all(runs.map(({ spec, label }) => finishedRun(spec, label, runsDir)));
  const missing = runs.filter((_, i) => finished[i] === null);
  for (const { images } of missing)
    if (images && images.missing !== null) throw new DataError(images.missing);
  if (missing.length > 0) await requireFit(await session.open(), missing, load);
  if (missing.length > 0)
    await announceCost(await session.open(), missing, load, runs.length - missing.length);
  control.begin();
  const results: FinishedRun[] = [];
  for (const [i, { title, label, spec }] of runs.entries()) {
    let run = finished[i];
    if (!run) {
      const line = new ProgressLine(title);
      const [onProgress, report] = [line.show.bind(line), line.print.bind(line)];
      const host = {
        runsDirectory: runsDir,
        load,
        command: typedCommand(),
        checkpoints: checkpointsOf(flags),
      };
      const options = { ...host, control, onProgress, report };
      run = await runOnce(session, spec, label, options).finally(() => line.end());
    }
    results.push(run);
  }
  return results;
}

/** Cells with the same specification, such as the small batch of both rows of Table 2, are one run. */
export function distinctCosts(costs: readonly RunCost[]): RunCost[] {
  return [...new Map(costs.map((cost) => [specHash(cost.spec), cost])).values()];
}

/** Writes the record of an experiment for `report`. */
export async function writeRecord(
  runsDir: string,
  record: Omit<ExperimentRecord, "format" | "command">,
): Promise<string> {
  await makeFolder(runsDir);
  await removeAbandonedFiles(runsDir);
  const path = join(runsDir, `${record.id}${RECORD_SUFFIX}`);
  const whole: ExperimentRecord = { format: 1, ...record, command: typedCommand() };
  await writeFileAtomically(path, `${JSON.stringify(whole, null, 2)}\n`);
  return path;
}

/** Names of run folders, for a record. */
export function folderNames(runs: readonly FinishedRun[]): string[] {
  return runs.map(({ folder }) => basename(folder));
}

function announce({ adapter: { name, software } }: Gpu): void {
  console.error(`adapter: ${name}${software ? " (software: correct but slow)" : ""}`);
}

/** @throws CapacityError naming the first run that the adapter cannot hold */
export async function requireFit(gpu: Gpu, runs: readonly RequestedRun[], load: LoadOptions): Promise<void> {
  const specs = runs.map(plannedSpec);
  for (const [i, refusal] of (await refusalsOf(gpu, specs, load)).entries())
    if (refusal !== null) throw new CapacityError(refusedRun(runs[i]!, refusal));
}

function refusedRun({ title, otherwise }: RequestedRun, refusal: string): string {
  return `${title}: ${refusal}${otherwise === undefined ? "" : `, or ${otherwise}`}`;
}

/** Describes what remains to be done, and how long it takes here (`expectedSeconds`). */
async function announceCost(
  gpu: Gpu,
  missing: readonly RequestedRun[],
  load: LoadOptions,
  done: number,
): Promise<void> {
  const specs = missing.map(({ spec }) => spec);
  const costs = distinctCosts(await costsOf(gpu, specs, load));
  const seconds = await expectedSeconds(gpu, costs, load);
  const time = Number.isNaN(seconds)
    ? "time unknown for streamed images"
    : `about ${formatDuration(seconds)} based on a measured step, evaluation excluded`;
  console.error(`${describeCosts(costs, done)}, ${time}`);
}

/** @param done number of finished runs */
export function describeCosts(costs: readonly RunCost[], done: number): string {
  const sum = (value: (cost: RunCost) => number) => costs.reduce((total, cost) => total + value(cost), 0);
  const [steps, samples, flops] = [
    sum((cost) => cost.steps),
    sum((cost) => cost.samples),
    sum((cost) => cost.flops),
  ];
  const kept = done > 0 ? `, ${done} finished before` : "";
  return `to do: ${formatCounted(costs.length, "run")}${kept}: ${formatCounted(steps, "step")}, ${formatCounted(samples, "image")}, ${formatQuantity(flops, "FLOP")}`;
}

/** Times one step of the cheapest run of each network, and assumes the same operations per second for that network's other runs. */
async function expectedSeconds(gpu: Gpu, costs: readonly RunCost[], load: LoadOptions): Promise<number> {
  const networks = new Map<string, RunCost[]>();
  for (const cost of costs) {
    const { model, width, hidden } = cost.spec;
    const key = JSON.stringify([model, width, hidden]);
    networks.set(key, [...(networks.get(key) ?? []), cost]);
  }
  let seconds = 0;
  for (const group of networks.values()) {
    const smallest = group.reduce((a, b) => (b.spec.batchSize < a.spec.batchSize ? b : a));
    const rate = await measureRate(gpu, smallest.spec, load);
    seconds += group.reduce((sum, { flops }) => sum + flops, 0) / (rate ?? Number.NaN);
  }
  return seconds;
}
