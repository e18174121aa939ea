/** The options of `train`, and the run options that they set. */

import { Option } from "commander";
import type { Distributed } from "../host/node/mpi/launcher.ts";
import { readConfig } from "../run/config-file.ts";
import type { RunSpec, RunSpecInput } from "../run/run-spec.ts";
import { UsageError } from "../support/errors.ts";
import { LOG_ROWS } from "../train/trainer.ts";
import {
  adapterOption,
  assumeLimitsOption,
  type CheckpointFlags,
  checkpointOptions,
  dataDirOption,
  duration,
  jsonOption,
  type PlanFlags,
  rate,
  runsDirOption,
  tuningOption,
  wholeNumber,
} from "./options.ts";
import { optionsOfFlags, runOptionFlags } from "./run-option-flags.ts";

/** Options that do not change the result, so they are not part of the specification. */
interface HostFlags extends CheckpointFlags, PlanFlags {
  tuning?: string;
  dataDir?: string;
  runsDir: string;
  name?: string;
  config?: string;
  resume?: string | true;
  logEvery?: number;
  distributed?: Distributed;
  watchdog?: number;
  shareAdapter?: boolean;
  ranks?: number;
  /** Bytes per second. */
  link?: number;
  json?: boolean;
}

export type TrainFlags = Record<string, unknown> & HostFlags;

/** Every option of `train`: those of the run, which decide its result, and those of the command. */
export function trainFlags(): Option[] {
  return [...runOptionFlags(), ...hostFlags().map((option) => option.helpGroup("The command:"))];
}

function hostFlags(): Option[] {
  return [
    new Option(
      "--config <file>",
      "YAML file with the options above, e.g. config.yaml of a run folder; flags override it",
    ),
    new Option("--name <name>", "name of the run folder (default: made from the options)"),
    new Option(
      "--resume [run]",
      "continue an unfinished run: its folder or its name in --runs-dir; without one, the run of --name, or the newest in --runs-dir",
    ),
    ...checkpointOptions(),
    new Option(
      "--log-every <steps>",
      `steps between reading the metrics back from the GPU, at most ${LOG_ROWS} (default: 64)`,
    ).argParser(wholeNumber(1, LOG_ROWS)),
    new Option("--dry-run", "print parameters, memory, learning rates, steps and cost without training"),
    new Option(
      "--distributed <how>",
      "how to train on several processes: mpi, or none (default: mpi if mpirun, mpiexec or srun has started several)",
    ).choices(["mpi", "none"]),
    new Option(
      "--watchdog <time>",
      "time (30s, 5m, 2h) after which a rank that the others wait for ends the job (default: 10m)",
    ).argParser(duration),
    new Option(
      "--ranks <count>",
      "with --dry-run: also print what each of this many ranks holds and sends, and their efficiency (default: the launcher's number)",
    ).argParser(wholeNumber(1)),
    new Option("--link <rate>", "with --dry-run: rate of the network between ranks, e.g. 25GB/s").argParser(
      rate,
    ),
    new Option("--share-adapter", "let several ranks use one hardware GPU"),
    assumeLimitsOption(),
    adapterOption(),
    tuningOption(),
    dataDirOption(),
    runsDirOption(),
    jsonOption(),
  ];
}

/** The run options that the user has set: flags override the configuration file. */
export function givenOptions(flags: TrainFlags): RunSpecInput {
  const file = flags.config === undefined ? {} : readConfig(flags.config);
  return { ...file, ...optionsOfFlags(flags) };
}

/** @throws UsageError for an option that has no effect with the others */
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
  { learningRateRule, regime, dataset }: RunSpec,
): void {
  const refuse = (option: string, why: string) => {
    throw new UsageError(`${option}: ${why}`);
  };
  if (lrReferenceBatch !== undefined && learningRateRule === "none" && regime === "original") {
    refuse(
      `--lr-reference-batch ${lrReferenceBatch}`,
      "it has no effect with --lr-rule none and --regime original",
    );
  }
  if (warmupSteps && learningRateRule === "none") {
    refuse(`--warmup-steps ${warmupSteps}`, "a warm-up needs --lr-rule sqrt or linear");
  }
  if (dataDir !== undefined && /^synthetic\b/.test(dataset))
    refuse(`--data-dir ${dataDir}`, "the data set synthetic has no files");
  if (typeof resume === "string" && name !== undefined)
    refuse(`--name ${name}`, `--resume ${resume} already names the run`);
}
