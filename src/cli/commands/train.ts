import { Command } from "commander";
import { GpuSession } from "../../host/node/gpu-session.ts";
import { launchOf } from "../../host/node/mpi/launcher.ts";
import { describePlan, outlinedData, planTraining, type TrainingPlan } from "../../run/dry-run.ts";
import { planRun } from "../../run/plan-run.ts";
import { tidyFinishedRun } from "../../run/resume.ts";
import { RunControl } from "../../run/run-control.ts";
import { planWarnings } from "../../run/run-warnings.ts";
import { readyRun } from "../../run/runner.ts";
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
  const control = new RunControl({ resumeWords: resumeWords(flags) });
  const isQuiet = launch !== null && launch.rank > 0;
  return withSignals(control, { ...flags, isQuiet }, () =>
    launch === null || flags.dryRun ? trainAlone(control, flags) : trainOnRanks(launch, control, flags),
  );
}

async function trainAlone(control: RunControl, flags: TrainFlags): Promise<void> {
  const { path, spec, finished, dataPlace } = await taskOf(flags, givenOptions(flags));
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
    for (const warning of planWarnings(planned, outline.facts)) console.error(`warning: ${warning}`);
    printPlan(planTraining(await session.open(), planned, outline), flags);
    return;
  }
  const ready = await readyRun(session, spec, loadOptions(dataPlace));
  for (const warning of ready.warnings) console.error(`warning: ${warning}`);
  if (flags.dryRun) printPlan(ready.plan, flags);
  else await trainReady(session, ready, path, { control }, flags);
}

/** Exit code 2 for a plan that does not fit the adapter. */
function printPlan(plan: TrainingPlan, { json }: TrainFlags): void {
  console.log(json ? JSON.stringify(plan, null, 2) : describePlan(plan));
  if (plan.refused.length > 0) process.exitCode = 2;
}
