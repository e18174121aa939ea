import { join } from "node:path";
import { Command, Option } from "commander";
import { DATASET_FORMS } from "../../data/load.ts";
import { describePlan, planTraining } from "../../experiments/dry-run.ts";
import { environmentOf } from "../../experiments/environment.ts";
import { executeRun, METRIC_COLUMNS, type RunSummary } from "../../experiments/execute.ts";
import { prepareRun } from "../../experiments/prepare.ts";
import { RunSpec, type RunSpecInput, specHash } from "../../experiments/run-spec.ts";
import { openGpu } from "../../host/open-gpu.ts";
import { MODEL_NAMES, modelEntry } from "../../models/index.ts";
import { RunFolder } from "../../storage/run-folder.ts";
import { UsageError } from "../../support/errors.ts";
import { formatCount, formatDuration, formatQuantity } from "../../support/format.ts";
import { BASE_REGIMES, type BaseRegimeName } from "../../train/base-regimes.ts";
import { learningRateTable } from "../../train/regime.ts";
import { readConfig } from "../config-file.ts";
import { adapterOption, dataDirOption, jsonOption, realNumber, runsDirOption, typedCommand, wholeNumber } from "../options.ts";
import { ProgressLine } from "../progress.ts";

/** Options that do not change the result, so they are not part of the specification. */
interface HostOptions {
  adapter?: string;
  dataDir?: string;
  runsDir: string;
  name?: string;
  config?: string;
  memory?: number;
  dryRun?: boolean;
  json?: boolean;
}

export function trainCommand(): Command {
  const choice = (flags: string, text: string, values: readonly string[]) => new Option(flags, text).choices(values);
  const count = (flags: string, text: string) => new Option(flags, text).argParser(wholeNumber(1));
  const real = (flags: string, text: string) => new Option(flags, text).argParser(realNumber(0));
  const command = new Command("train").description("train one network; the run folder keeps everything about it");
  const options = [
    new Option("--dataset <name>", `data set: ${DATASET_FORMS.join(", ")} (default: mnist)`),
    choice("--model <name>", "network (default: f1)", MODEL_NAMES),
    count("--width <units>", "units of a hidden layer"),
    count("--hidden <layers>", "hidden layers"),
    choice("--gamma <first>", "first gamma of batch norm", ["ones", "uniform"]),
    count("--batch-size <images>", "images in a batch (default: 128)"),
    count("--ghost-size <images>", "images in a ghost batch (default: the batch size, plain batch norm)"),
    choice("--partial <policy>", "what becomes of a partial last batch (default: exact)", ["authors", "exact", "drop", "wrap"]),
    choice("--running-rule <rule>", "how running statistics take in ghosts (default: mean)", ["sequential", "mean", "full", "composer", "paper-literal"]),
    real("--running-momentum <fraction>", "weight of new statistics (default: 0.1)"),
    choice("--base-regime <name>", "regime that rates and drops come from (default: the model's)", Object.keys(BASE_REGIMES)),
    real("--lr <rate>", "first learning rate; later ones keep their ratios to it"),
    real("--momentum <fraction>", "momentum"),
    real("--weight-decay <factor>", "weight decay"),
    real("--epochs <number>", "epochs before regime adaptation"),
    count("--max-steps <steps>", "stop after so many steps"),
    choice("--lr-rule <rule>", "how the rate follows the batch (default: none)", ["none", "sqrt", "linear"]),
    count("--lr-reference-batch <images>", "batch of the rule and of adaptation (default: the base regime's)"),
    choice("--regime <kind>", "original, or adapted: epochs times batch / reference (default: original)", ["original", "adapted", "ceil", "iteration-matched"]),
    new Option("--warmup-steps <steps>", "linear warm-up to the rule's rate (default: 0)").argParser(wholeNumber(0)),
    choice("--momentum-reset <when>", "velocity set to 0 (default: never)", ["never", "epoch"]),
    real("--clip-norm <norm>", "global norm the gradient is clipped to, 0 for none (default: 5)"),
    new Option("--no-augmentation", "images as they are"),
    new Option("--seed <number>", "seed of everything random (default: 123)").argParser(wholeNumber(0)),
    count("--evaluate-every <epochs>", "epochs between evaluations (default: 1)"),
    new Option("--config <file>", "YAML with these options in camelCase, as a run folder's config.yaml; options given here win"),
    new Option("--name <name>", "name of the run folder (default: made from the options)"),
    new Option("--memory <MiB>", "GPU memory one step's tensors may take before a batch is cut into slabs").argParser(wholeNumber(1)),
    new Option("--dry-run", "print parameters, memory, learning rates, steps and cost; train nothing"),
  ];
  for (const option of [...options, adapterOption(), dataDirOption(), runsDirOption(), jsonOption()]) command.addOption(option);
  return command.action(train);
}

async function train(flags: Record<string, unknown> & HostOptions): Promise<void> {
  const spec = specOf(flags);
  const prepared = await prepareRun(spec, { dataDir: flags.dataDir });
  const warnings = new Set([...(prepared.epoch.full?.warnings ?? []), ...prepared.epoch.last.warnings]);
  for (const warning of warnings) console.error(`warning: ${warning}`);
  const memoryBytes = flags.memory === undefined ? undefined : flags.memory * 2 ** 20;
  const gpu = await openGpu({ adapter: flags.adapter });
  if (flags.dryRun) {
    const plan = await planTraining(gpu, prepared, memoryBytes);
    console.log(flags.json ? JSON.stringify(plan, null, 2) : describePlan(plan));
    return;
  }
  for (const line of learningRateTable(prepared.regime)) console.error(line);
  const name = flags.name ?? `${spec.model}-${spec.dataset}-b${spec.batchSize}-seed${spec.seed}-${specHash(spec)}`;
  const folder = await RunFolder.claim({
    runsDirectory: flags.runsDir,
    name,
    configuration: spec,
    environment: environmentOf(gpu, typedCommand()),
    columns: METRIC_COLUMNS,
  });
  const line = new ProgressLine(name);
  try {
    const onProgress = line.show.bind(line);
    const summary = await executeRun(gpu, prepared, folder, { ...(memoryBytes && { memoryBytes }), onProgress });
    line.end();
    if (flags.json) console.log(JSON.stringify({ folder: join(flags.runsDir, name), ...summary }, null, 2));
    else console.log(describeSummary(summary, folder.path));
  } finally {
    folder.close();
  }
}

/** Flags over the configuration file over defaults. */
function specOf(flags: Record<string, unknown> & HostOptions): RunSpec {
  const file: Partial<RunSpecInput> = flags.config === undefined ? {} : readConfig(flags.config);
  const names: Record<string, keyof RunSpecInput> = {
    lr: "learningRate",
    lrRule: "learningRateRule",
    lrReferenceBatch: "referenceBatchSize",
  };
  const given: Record<string, unknown> = {};
  for (const [flag, value] of Object.entries(flags)) {
    const key = names[flag] ?? flag;
    // commander sets augmentation to true by itself; only --no-augmentation is the user's word.
    if (key in RunSpec.shape && !(key === "augmentation" && value === true)) given[key] = value;
  }
  const merged = { dataset: "mnist", model: "f1", batchSize: 128, ...file, ...given };
  const baseRegime = (merged.baseRegime ?? modelEntry(merged.model as string).regime) as BaseRegimeName;
  const referenceBatchSize = BASE_REGIMES[baseRegime].batchSize;
  const result = RunSpec.safeParse({ baseRegime, referenceBatchSize, ...merged });
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new UsageError(`${issue.path.join(".")}: ${issue.message}`);
}

function describeSummary(summary: RunSummary, folder: string): string {
  const { accuracy, best, testLoss, steps, samples, flops, seconds, imagesPerSecond, distanceFirst, distanceAll } = summary;
  return [
    `test accuracy ${accuracy.toFixed(2)} % (best ${best.toFixed(2)} %), test loss ${testLoss.toFixed(4)}`,
    `${formatCount(steps)} steps, ${formatCount(samples)} images, ${formatQuantity(flops, "FLOP")} in ${formatDuration(seconds)}: ${formatQuantity(imagesPerSecond, "images/s")}`,
    `distance from the start: ${distanceAll.toFixed(3)}, of the first parameter alone ${distanceFirst.toFixed(3)}`,
    `batch-norm groups of ${summary.batchNormGroup} images, ${summary.dispatchesPerStep} dispatches a step`,
    `run folder ${folder}`,
  ].join("\n");
}
