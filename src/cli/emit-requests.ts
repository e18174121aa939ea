/** --emit slurm of an experiment: its unfinished runs as a job array. */
import { resolve } from "node:path";
import { DEFAULT_ASSUMED } from "../gpu/assumed-gpu.ts";
import { costsOf } from "../run/cost.ts";
import type { RunSpec } from "../run/run-spec.ts";
import { finishedRun, runName } from "../run/runner.ts";
import { specHash } from "../run/spec-hash.ts";
import { UsageError } from "../support/errors.ts";
import { SweepFolder } from "../sweep/sweep-folder.ts";
import { type EmitFlags, emitSlurm, requirePlannable, trainWords } from "./emit-slurm.ts";
import { resumeWords } from "./options.ts";
import {
  describeCosts,
  distinctCosts,
  openSession,
  plannedSpec,
  type RequestedRun,
  type RequestFlags,
  requireFit,
} from "./request.ts";
import { loadOptions } from "./transfer-line.ts";

/**
 * Writes the script and the configurations to runs/<id>.sweep/. Runs have the same names as in the experiment
 * itself, so the same command without --emit finds them when they have finished.
 * @param id id of the experiment's record
 * @param notes lines to print with the plan
 */
export async function emitRequests(
  id: string,
  requests: readonly RequestedRun[],
  flags: RequestFlags & EmitFlags,
  notes: readonly string[],
): Promise<void> {
  const { runsDir, onUsr2, assumeLimits = DEFAULT_ASSUMED } = flags;
  if (onUsr2 === "continue")
    throw new UsageError(
      "--on-usr2 continue: with --emit slurm, SIGUSR2 means that a run's time is over; omit the option",
    );
  const finished = await Promise.all(requests.map(({ spec, label }) => finishedRun(spec, label, runsDir)));
  const missing = requests.filter((_, i) => finished[i] === null);
  const distinct = [...new Map(missing.map((request) => [specHash(request.spec), request])).values()];
  if (distinct.length === 0) {
    console.log("all runs have finished; the same command without --emit shows the result");
    return;
  }
  const runs = distinct.map(({ spec, label }) => ({ name: runName(spec, label), spec }));
  const planned = distinct.map((request, i) => ({ name: runs[i]!.name, spec: plannedSpec(request) }));
  for (const run of planned) requirePlannable(run);
  const planning = { adapter: undefined, dryRun: true, assumeLimits };
  const gpu = await openSession(planning, notes).open();
  await requireFit(gpu, distinct, loadOptions(flags));
  const specs = planned.map(({ spec }) => spec);
  const costs = distinctCosts(await costsOf(gpu, specs, loadOptions(flags)));
  console.error(describeCosts(costs, requests.length - missing.length));
  const grid = { name: id, runs };
  const folder = new SweepFolder(resolve(runsDir), grid);
  await emitSlurm(grid, folder, flags, trainWords(folder, flags, resumeWords(flags)));
  console.log("when they have finished, the same command without --emit shows the result");
}

/**
 * The same for an experiment that is a single measurement: one task, which runs the verb itself.
 * @param id id of the experiment's record
 * @param spec the measured run, for the record beside the script
 * @param verb the command line after the program's name
 */
export async function emitVerb(
  { id, spec }: { readonly id: string; readonly spec: RunSpec },
  verb: readonly string[],
  flags: RequestFlags & EmitFlags & { readonly images?: string },
): Promise<void> {
  const { dataDir, images, adapter, runsDir, gpusPerRun } = flags;
  if (gpusPerRun !== undefined)
    throw new UsageError(`--gpus-per-run ${gpusPerRun}: this measurement has one process; omit the option`);
  const folder = new SweepFolder(resolve(runsDir), { name: id, runs: [] });
  const words = [
    ...[...process.execArgv, resolve(process.argv[1]!), ...verb],
    ...(adapter === undefined ? [] : ["--adapter", adapter]),
    ...(images === undefined ? [] : ["--images", images]),
    ...(dataDir === undefined ? [] : ["--data-dir", resolve(dataDir)]),
    ...["--runs-dir", folder.runsDirectory],
  ];
  await emitSlurm({ name: id, runs: [{ name: id, spec }] }, folder, flags, () => words);
}
