import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { Command } from "commander";
import { GpuSession } from "../../host/node/gpu-session.ts";
import { specOfRun } from "../../run/config-file.ts";
import { dataPlaceOf } from "../../run/data-place.ts";
import { describePlan, outlinedData, planTraining, type TrainingPlan } from "../../run/dry-run.ts";
import { flagOf, writtenOption } from "../../run/option-names.ts";
import { planRun } from "../../run/plan-run.ts";
import type { PreparedRun } from "../../run/prepare.ts";
import { newestUnfinishedRun, requireSameOptions, summaryOf, tidyFinishedRun } from "../../run/resume.ts";
import { RunControl } from "../../run/run-control.ts";
import { completeSpec } from "../../run/run-spec.ts";
import type { RunSummary } from "../../run/run-summary.ts";
import { type ReadyRun, readyRun, startRun } from "../../run/runner.ts";
import { specHash } from "../../run/spec-hash.ts";
import { isRunName, runFolderPath } from "../../storage/run-folder.ts";
import { UsageError } from "../../support/errors.ts";
import { formatCount, formatDuration, formatQuantity } from "../../support/format.ts";
import { checkpointsOf, planOptions, resumeWords, typedCommand } from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { signalHelp, withSignals } from "../signals.ts";
import { givenOptions, requireConsistent, type TrainFlags, trainFlags } from "../train-options.ts";
import { loadOptions } from "../transfer-line.ts";

export function trainCommand(): Command {
  const command = new Command("train").description(
    "train one network and record everything in its run folder",
  );
  for (const option of trainFlags()) command.addOption(option);
  return command.addHelpText("after", `\n${signalHelp("continue with --resume")}`).action(train);
}

function train(flags: TrainFlags): Promise<void> {
  const control = new RunControl({ resumeWords: resumeWords(flags) });
  return withSignals(control, flags, () => trainUnder(control, flags));
}

async function trainUnder(control: RunControl, flags: TrainFlags): Promise<void> {
  const given = givenOptions(flags);
  const path = await folderToResume(flags);
  const finished = path === null ? null : await summaryOf(path);
  const spec = path === null ? completeSpec(given, flagOf) : specOfRun(path);
  requireConsistent(flags, spec);
  if (path !== null) requireSameOptions(spec, given, writtenOption);
  if (path !== null && finished) {
    console.error(`${path} has already finished`);
    await tidyFinishedRun(path);
    printSummary(finished, path, flags);
    return;
  }
  const session = new GpuSession({ ...planOptions(flags), tuning: flags.tuning });
  const outline = flags.dryRun && flags.dataDir === undefined ? outlinedData(spec) : null;
  if (outline) {
    printPlan(planTraining(await session.open(), planRun(spec, outline.facts), outline), flags);
    return;
  }
  const before = path === null ? {} : await dataPlaceOf(path);
  const { dataDir = before.dataDir } = flags;
  const ready = await readyRun(session, spec, loadOptions({ ...before, dataDir }));
  for (const warning of ready.warnings) console.error(`warning: ${warning}`);
  if (flags.dryRun) printPlan(ready.plan, flags);
  else await trainReady(session, ready, path, control, flags);
}

/** @param path the folder of the run that goes on; null for a new one */
async function trainReady(
  session: GpuSession,
  ready: ReadyRun,
  path: string | null,
  control: RunControl,
  flags: TrainFlags,
): Promise<void> {
  const { prepared, plan } = ready;
  const { runsDir, logEvery, name = defaultName(prepared) } = flags;
  const line = new ProgressLine(path === null ? name : basename(path));
  const place = path === null ? { runsDirectory: runsDir, name } : { unfinished: path };
  const { summary, folder } = await startRun(session, ready, place, {
    command: typedCommand(),
    checkpoints: checkpointsOf(flags),
    logEvery,
    control,
    onStart: () => {
      for (const row of plan.learningRates) console.error(row);
    },
    onProgress: line.show.bind(line),
    report: line.print.bind(line),
  }).finally(() => line.end());
  printSummary(summary, folder, flags);
}

function defaultName({ spec, dataset }: PreparedRun): string {
  return `${spec.model}-${dataset.name}-b${spec.batchSize}-seed${spec.seed}-${specHash(spec)}`;
}

/** Exit code 2 for a plan that does not fit the adapter. */
function printPlan(plan: TrainingPlan, { json }: TrainFlags): void {
  console.log(json ? JSON.stringify(plan, null, 2) : describePlan(plan));
  if (plan.refused.length > 0) process.exitCode = 2;
}

/** The folder of the run to go on with; null for a new run. @throws UsageError where there is none to go on with */
async function folderToResume({ resume, name, runsDir }: TrainFlags): Promise<string | null> {
  if (resume === undefined) return null;
  if (typeof resume === "string") return runToResume(resume, runsDir);
  if (name === undefined) return newestUnfinishedRun(runsDir);
  // With a name: that run, begun where it has not been. So one command line does for every start of a job.
  const path = runFolderPath(runsDir, name);
  return existsSync(path) ? path : null;
}

/** A run by its folder, or by its name in --runs-dir. @throws UsageError where neither is a run folder */
function runToResume(resume: string, runsDir: string): string {
  const places = [resume, ...(isRunName(resume) ? [join(runsDir, resume)] : [])];
  const run = places.find((place) => existsSync(join(place, "config.yaml")));
  if (run !== undefined) return run;
  const other = places.find((place) => existsSync(place));
  const none =
    places.length === 1 ? "no such folder" : `no such folder, and no run of that name in ${runsDir}`;
  throw new UsageError(
    `--resume ${resume}: ${other === undefined ? none : "not a run folder: config.yaml is missing"}`,
  );
}

function printSummary(summary: RunSummary, folder: string, { json }: TrainFlags): void {
  console.log(json ? JSON.stringify({ folder, ...summary }, null, 2) : describeSummary(summary, folder));
}

function describeSummary(summary: RunSummary, folder: string): string {
  const {
    accuracy,
    reestimatedAccuracy,
    best,
    testLoss,
    steps,
    samples,
    flops,
    seconds,
    imagesPerSecond,
    distanceFirst,
    distanceAll,
  } = summary;
  return [
    `test accuracy ${accuracy.toFixed(2)} % (best ${best.toFixed(2)} %), test loss ${testLoss.toFixed(4)}`,
    ...(reestimatedAccuracy === undefined
      ? []
      : [`with re-estimated running statistics ${reestimatedAccuracy.toFixed(2)} %`]),
    `${formatCount(steps)} steps, ${formatCount(samples)} images, ${formatQuantity(flops, "FLOP")} in ${formatDuration(seconds)}: ${formatQuantity(imagesPerSecond, "images/s")}`,
    `distance from the start: ${distanceAll.toFixed(3)}, of the first parameter only ${distanceFirst.toFixed(3)}`,
    `ghosts of ${summary.ghostSize} images, ${summary.dispatchesPerStep} dispatches per step`,
    ...(summary.skippedSteps > 0
      ? [
          `${formatCount(summary.skippedSteps)} steps were skipped because loss or gradient was NaN or infinite`,
        ]
      : []),
    `run folder ${folder}`,
  ].join("\n");
}
