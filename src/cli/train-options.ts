/** The options of `train`, and what of a run they say. */

import { InvalidArgumentError, Option } from "commander";
import { DATASET_FORMS } from "../data/dataset-forms.ts";
import { MODEL_NAMES } from "../models/index.ts";
import { readConfig } from "../run/config-file.ts";
import { RunSpec, type RunSpecInput } from "../run/run-spec.ts";
import { UsageError } from "../support/errors.ts";
import { LOG_ROWS } from "../train/trainer.ts";
import {
  adapterOption,
  type CheckpointFlags,
  checkpointOptions,
  dataDirOption,
  jsonOption,
  realNumber,
  runsDirOption,
  wholeNumber,
} from "./options.ts";

/** Options that do not change the result, so they are not part of the specification. */
interface HostOptions extends CheckpointFlags {
  adapter?: string;
  dataDir?: string;
  runsDir: string;
  name?: string;
  config?: string;
  resume?: string | true;
  logEvery?: number;
  dryRun?: boolean;
  json?: boolean;
}

export type TrainFlags = Record<string, unknown> & HostOptions;

/** Every option of `train`. */
export function trainOptions(): Option[] {
  const choice = (flags: string, text: string, { options }: { readonly options: readonly string[] }) =>
    new Option(flags, text).choices(options);
  const { shape } = RunSpec;
  const count = (flags: string, text: string) => new Option(flags, text).argParser(wholeNumber(1));
  const real = (flags: string, text: string) => new Option(flags, text).argParser(realNumber(0));
  return [
    new Option("--dataset <name>", `data set: ${DATASET_FORMS.join(", ")} (default: mnist)`),
    new Option("--model <name>", `network (default: f1): ${MODEL_NAMES.join(", ")}`),
    count("--width <units>", "units of a hidden layer"),
    count("--hidden <layers>", "hidden layers"),
    choice("--gamma <first>", "first gamma of batch norm", shape.gamma.unwrap()),
    count("--batch-size <images>", "images in a batch (default: 128)"),
    count("--ghost-size <images>", "images in a ghost batch (default: the batch size, plain batch norm)"),
    choice(
      "--partial <policy>",
      "what becomes of a partial last batch (default: exact)",
      shape.partial.unwrap(),
    ),
    choice(
      "--running-rule <rule>",
      "how running statistics take in ghosts (default: mean)",
      shape.runningRule.unwrap(),
    ),
    real("--running-momentum <fraction>", "weight of new statistics (default: 0.1)"),
    choice(
      "--base-regime <name>",
      "regime that rates and drops come from (default: the model's)",
      shape.baseRegime,
    ),
    real("--lr <rate>", "first learning rate; later ones keep their ratios to it"),
    real("--momentum <fraction>", "momentum"),
    real("--weight-decay <factor>", "weight decay"),
    real("--epochs <number>", "epochs before regime adaptation"),
    count("--max-steps <steps>", "stop after so many steps"),
    choice(
      "--lr-rule <rule>",
      "how the rate follows the batch (default: none)",
      shape.learningRateRule.unwrap(),
    ),
    count(
      "--lr-reference-batch <images>",
      "batch of the rule and of adaptation (default: the base regime's)",
    ),
    choice(
      "--regime <kind>",
      "original, or adapted: epochs times batch / reference (default: original)",
      shape.regime.unwrap(),
    ),
    new Option("--warmup-steps <steps>", "linear warm-up to the rule's rate (default: 0)").argParser(
      wholeNumber(0),
    ),
    choice("--momentum-reset <when>", "velocity set to 0 (default: never)", shape.momentumReset.unwrap()),
    real("--clip-norm <norm>", "global norm the gradient is clipped to, 0 for none (default: 5)"),
    real(
      "--gradient-noise <deviation>",
      "deviation of random factors of mean 1 on samples' gradients, the paper's sqrt(B / B_S - 1) (default: 0)",
    ),
    new Option(
      "--batch-growth",
      "where the regime cuts the rate, the batch grows instead (Smith et al. 2018)",
    ),
    new Option("--constant-rate", "the regime's first rate to the end"),
    real("--epoch-scale <factor>", "multiplies the epochs of the regime, its drops and its end (default: 1)"),
    choice(
      "--variant <topology>",
      "of c1 and c3: the paper's authors' or Keskar's (default: released)",
      shape.variant.unwrap(),
    ),
    new Option("--no-augmentation", "images as they are"),
    new Option(
      "--subset <train,test>",
      "only so many training and test images, chosen by a fixed permutation (default: all)",
    ).argParser(subsetSizes),
    new Option("--seed <number>", "seed of everything random (default: 123)").argParser(wholeNumber(0)),
    count("--evaluate-every <epochs>", "epochs between evaluations (default: 1)"),
    new Option(
      "--config <file>",
      "YAML with these options in camelCase, as a run folder's config.yaml; options given here win",
    ),
    new Option("--name <name>", "name of the run folder (default: made from the options)"),
    count(
      "--memory <MiB>",
      "GPU memory one step's tensors may take before a batch is cut into slabs (default: 2048)",
    ),
    choice(
      "--on-nan <action>",
      "what NaN or infinity in a loss or gradient does: end the run, or leave out the step (default: stop)",
      shape.onNan.unwrap(),
    ),
    new Option(
      "--resume [folder]",
      "go on with an unfinished run: this folder, else that of --name, else the newest of --runs-dir",
    ),
    ...checkpointOptions(),
    new Option(
      "--log-every <steps>",
      `steps between read-backs of the metrics, at most ${LOG_ROWS} (default: 64)`,
    ).argParser(wholeNumber(1, LOG_ROWS)),
    new Option("--dry-run", "print parameters, memory, learning rates, steps and cost; train nothing"),
    adapterOption(),
    dataDirOption(),
    runsDirOption(),
    jsonOption(),
  ];
}

/** @throws UsageError for an option that the others leave without a meaning */
export function requireConsistent(
  {
    lrReferenceBatch,
    warmupSteps,
    dataDir,
    resume,
    name,
  }: {
    readonly lrReferenceBatch?: unknown;
    readonly warmupSteps?: unknown;
    readonly dataDir?: string;
    readonly resume?: string | true;
    readonly name?: string;
  },
  spec: RunSpec,
): void {
  const { learningRateRule, regime, dataset } = spec;
  const refuse = (option: string, why: string) => {
    throw new UsageError(`${option}: ${why}`);
  };
  if (lrReferenceBatch !== undefined && learningRateRule === "none" && regime === "original") {
    refuse(
      `--lr-reference-batch ${lrReferenceBatch}`,
      "nothing refers to it with --lr-rule none and --regime original",
    );
  }
  if (warmupSteps && learningRateRule === "none") {
    refuse(`--warmup-steps ${warmupSteps}`, "a warm-up leads to the rate of --lr-rule, which is none");
  }
  if (dataDir !== undefined && /^synthetic\b/.test(dataset))
    refuse(`--data-dir ${dataDir}`, "the data set synthetic has no files");
  if (typeof resume === "string" && name !== undefined)
    refuse(`--name ${name}`, `--resume ${resume} names the run`);
}

const KEY_OF_FLAG: Record<string, keyof RunSpecInput> = {
  lr: "learningRate",
  lrRule: "learningRateRule",
  lrReferenceBatch: "referenceBatchSize",
};

/** What the user has said of the run: flags over the configuration file. */
export function givenOptions(flags: TrainFlags): Partial<RunSpecInput> {
  const file = flags.config === undefined ? {} : readConfig(flags.config);
  const given: Record<string, unknown> = {};
  for (const [flag, value] of Object.entries(flags)) {
    const key = KEY_OF_FLAG[flag] ?? flag;
    // commander sets augmentation to true by itself; only --no-augmentation is the user's word.
    if (key in RunSpec.shape && !(key === "augmentation" && value === true)) given[key] = value;
  }
  return { ...file, ...given };
}

/** The option of a key of the specification, e.g. --batch-size. */
export function optionOf(key: string): string {
  const flag = Object.entries(KEY_OF_FLAG).find(([, of]) => of === key)?.[0] ?? key;
  return `--${flag.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** An option with its value, as it is written; a switch that only a file can set so, as the file has it. */
export function writtenOption(key: string, value: unknown): string {
  if (key === "augmentation" && value === false) return "--no-augmentation";
  if (key !== "augmentation" && value === true) return optionOf(key);
  if (typeof value === "boolean") return `${key}: ${value}`;
  if (key === "subset" && value !== null && typeof value === "object" && "train" in value && "test" in value)
    return `${optionOf(key)} ${value.train},${value.test}`;
  return `${optionOf(key)} ${typeof value === "string" ? value : JSON.stringify(value)}`;
}

/** "10000,2000" as the subset of a specification; its permutation is that of seed 0 whatever the run's seed. */
function subsetSizes(text: string): { train: number; test: number; seed: number } {
  const [train, test, ...rest] = text.split(",").map(wholeNumber(1));
  if (train === undefined || test === undefined || rest.length > 0) {
    throw new InvalidArgumentError("Expected two numbers, as in 10000,2000.");
  }
  return { train, test, seed: 0 };
}
