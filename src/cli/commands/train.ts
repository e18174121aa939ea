import { Command } from "commander";
import { GpuSession } from "../../host/node/gpu-session.ts";
import { launchOf } from "../../host/node/mpi/launcher.ts";
import { describePlan, outlinedData, planTraining, type TrainingPlan } from "../../run/dry-run.ts";
import { type PlannedRun, planRun } from "../../run/plan-run.ts";
import { tidyFinishedRun } from "../../run/resume.ts";
import { RunControl } from "../../run/run-control.ts";
import { planWarnings } from "../../run/run-warnings.ts";
import { readyRun } from "../../run/runner.ts";
import { describeRanks, planRanks } from "../../run/scaling.ts";
import { UsageError } from "../../support/errors.ts";
import { planOptions, resumeWords } from "../options.ts";
import { signalHelp, withSignals } from "../signals.ts";
import { trainOnRanks } from "../train-on-ranks.ts";
import { givenOptions, type TrainFlags, trainFlags } from "../train-options.ts";
import { printSummary, taskOf, trainReady } from "../train-task.ts";
import { loadOptions } from "../transfer-line.ts";

export function trainCommand(): Command {
  const command = new Command("train").description(
    "train one network and record everything in its run folder",
  );
  for (const option of trainFlags()) command.addOption(option);
  return command.addHelpText("after", `\n${signalHelp("continue with --resume")}`).action(train);
}

function train(flags: TrainFlags): Promise<void> {
  const launch = launchOf(flags.distributed);
  const control = new RunControl({ resumeWords: resumeWords(flags), startWords: launch?.startWords });
  const isQuiet = launch !== null && launch.rank > 0;
  requireDryRun(flags);
  return withSignals(control, { ...flags, isQuiet }, async () => {
    if (launch === null || flags.dryRun) {
      // All ranks would print the same plan.
      if (!isQuiet) await trainAlone(control, flags, flags.ranks ?? launch?.size);
    } else await trainOnRanks(launch, control, flags);
  });
}

/** @throws UsageError for an option that only a dry run uses */
function requireDryRun({ dryRun, ranks, link }: TrainFlags): void {
  const name = ranks !== undefined ? "ranks" : link !== undefined ? "link" : null;
  if (name === null || dryRun) return;
  throw new UsageError(`--${name}: needs --dry-run; mpirun, mpiexec or srun starts the ranks of a run`);
}

/** @param ranks number of ranks to plan for; a run of this process has one */
async function trainAlone(control: RunControl, flags: TrainFlags, ranks = 1): Promise<void> {
  const { path, spec, finished, dataPlace } = await taskOf(flags, givenOptions(flags), ranks);
  if (path !== null && finished) {
    console.error(`${path} has already finished`);
    await tidyFinishedRun(path);
    printSummary(finished, path, flags);
    return;
  }
  const session = new GpuSession({ ...planOptions(flags), tuning: flags.tuning });
  const outline = flags.dryRun && flags.dataDir === undefined ? outlinedData(spec) : null;
  if (outline) {
    const planned = planRun(spec, outline.facts);
    // First, because opening the software GPU starts the command line again.
    const gpu = await session.open();
    for (const warning of planWarnings(planned, outline.facts)) console.error(`warning: ${warning}`);
    printPlan(planTraining(gpu, planned, outline), planned, flags, ranks);
    return;
  }
  const ready = await readyRun(session, spec, loadOptions(dataPlace));
  for (const warning of ready.warnings) console.error(`warning: ${warning}`);
  if (flags.dryRun) printPlan(ready.plan, ready.prepared, flags, ranks);
  else await trainReady(session, ready, path, { control }, flags);
}

/** Exit code 2 for a plan that does not fit the adapter. */
function printPlan(plan: TrainingPlan, run: PlannedRun, { json, link }: TrainFlags, ranks: number): void {
  const scaling = ranks === 1 ? null : planRanks(run, plan, { ranks, link });
  if (json) console.log(JSON.stringify({ ...plan, ...(scaling && { scaling }) }, null, 2));
  else console.log([describePlan(plan), ...(scaling ? describeRanks(scaling) : [])].join("\n"));
  if (plan.refused.length > 0) process.exitCode = 2;
}
