/** What `train` has to do, on one process or several: which run, where to start, and what to print. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import type { LoadOptions } from "../datasets/load.ts";
import type { GpuSession } from "../host/node/gpu-session.ts";
import { loadModel } from "../host/node/model-file.ts";
import { modelLabel } from "../models/index.ts";
import { specOfRun } from "../run/config-file.ts";
import { dataPlaceOf } from "../run/data-place.ts";
import { describePrecision } from "../run/dry-run.ts";
import { flagOf, writtenOption } from "../run/option-names.ts";
import type { PreparedRun } from "../run/prepare.ts";
import type { Ranks } from "../run/ranks.ts";
import { newestUnfinishedRun, requireSameOptions, summaryOf } from "../run/resume.ts";
import type { RunControl } from "../run/run-control.ts";
import { completeSpec, type RunSpec, type RunSpecInput } from "../run/run-spec.ts";
import type { RunSummary } from "../run/run-summary.ts";
import { type ReadyRun, startRun } from "../run/runner.ts";
import { specHash } from "../run/spec-hash.ts";
import { isRunName, runFolderPath } from "../storage/run-folder.ts";
import { UsageError } from "../support/errors.ts";
import { formatCount, formatDuration, formatQuantity } from "../support/format.ts";
import { checkpointsOf, typedCommand } from "./options.ts";
import { ProgressLine } from "./progress.ts";
import { requireConsistent, type TrainFlags } from "./train-options.ts";

export interface TrainTask {
  /** The folder of the run to continue; null for a new one. */
  readonly path: string | null;
  readonly spec: RunSpec;
  /** Its outcome, if it has already finished. */
  readonly finished: RunSummary | null;
  readonly dataPlace: Pick<LoadOptions, "dataDir" | "baseDirectory">;
}

/**
 * @param options the run options that the user has set
 * @param ranks number of processes that will train it: the default of a new run's shards
 * @throws UsageError for options that contradict each other or the run to continue
 */
export async function taskOf(flags: TrainFlags, options: RunSpecInput, ranks = 1): Promise<TrainTask> {
  let given = options;
  const path = await folderToResume(flags);
  const finished = path === null ? null : await summaryOf(path);
  if (options.model !== undefined) given = { ...options, model: await loadModel(options.model) };
  const spec = path === null ? completeSpec({ shards: ranks, ...given }, flagOf) : specOfRun(path);
  if (path !== null) await loadModel(spec.model);
  requireConsistent(flags, spec);
  if (path !== null) requireSameOptions(spec, given, writtenOption);
  const before = path === null ? {} : await dataPlaceOf(path);
  return { path, spec, finished, dataPlace: { ...before, dataDir: flags.dataDir ?? before.dataDir } };
}

/** @param path the folder of the run to continue; null for a new one */
export async function trainReady(
  session: GpuSession,
  ready: ReadyRun,
  path: string | null,
  { control, ranks }: { readonly control: RunControl; readonly ranks?: Ranks },
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
    ...(ranks && { ranks }),
    onStart: () => {
      if (plan.precision !== "f32") console.error(`precision ${describePrecision(plan)}`);
      for (const row of plan.learningRates) console.error(row);
    },
    onProgress: line.show.bind(line),
    report: line.print.bind(line),
  }).finally(() => line.end());
  printSummary(summary, folder, flags);
}

function defaultName({ spec, dataset }: PreparedRun): string {
  const precision = spec.precision === "f32" ? "" : `-${spec.precision}`;
  return `${modelLabel(spec.model)}-${dataset.name}-b${spec.batchSize}${precision}-seed${spec.seed}-${specHash(spec)}`;
}

/** The folder of the run to continue; null for a new run. @throws UsageError if there is none to continue */
async function folderToResume({ resume, name, runsDir }: TrainFlags): Promise<string | null> {
  if (resume === undefined) return null;
  if (typeof resume === "string") return runToResume(resume, runsDir);
  if (name === undefined) return newestUnfinishedRun(runsDir);
  // With --name: that run, which is started if it does not exist, so one command line serves for every start of a job.
  const path = runFolderPath(runsDir, name);
  return existsSync(path) ? path : null;
}

/** A run by its folder, or by its name in --runs-dir. @throws UsageError if neither is a run folder */
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

export function printSummary(summary: RunSummary, folder: string, { json }: TrainFlags): void {
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
  const bestWeights = join(folder, "checkpoints", `best-${summary.bestStep}.safetensors`);
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
    // The best weights of a resumed run may have been lost.
    ...(existsSync(bestWeights) ? [`best weights ${bestWeights}`] : []),
  ].join("\n");
}
