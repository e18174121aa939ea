/** Options that several verbs share, and parsers of their values. */
import { InvalidArgumentError, Option } from "commander";
import { ASSUMED_ADAPTERS, DEFAULT_ASSUMED } from "../gpu/assumed-gpu.ts";
import { parseScale } from "../paper/scale.ts";
import { type CheckpointOptions, DEFAULT_CHECKPOINTS } from "../run/checkpointer.ts";
import { RUN_OPTIONS } from "../run/run-options.ts";
import { messageOf, UsageError } from "../support/errors.ts";
import { shellCommand } from "../support/shell-words.ts";
import type { OnUsr2 } from "./signals.ts";

export const adapterOption = () =>
  new Option(
    "--adapter <name>",
    "GPU to use: part of its adapter's name, or software (default: the fastest hardware adapter)",
  );
export const assumeLimitsOption = () =>
  new Option(
    "--assume-limits <name>",
    `with --dry-run: plan for another GPU: ${Object.keys(ASSUMED_ADAPTERS).join(", ")}, or a file that \`ghostbatch doctor --json\` wrote on its machine (default: the GPU here, or ${DEFAULT_ASSUMED} if there is none)`,
  );
export const tuningOption = () =>
  new Option(
    "--tuning <file>",
    "kernel tiles to use: a file from `ghostbatch tune`, or off for the untuned ones (default: those that `ghostbatch tune` chose on this adapter)",
  );
export const dataDirOption = () => new Option("--data-dir <folder>", "folder with the data set's files");
export const runsDirOption = () =>
  new Option("--runs-dir <folder>", "folder that contains the run folders").default("runs");
export const jsonOption = () => new Option("--json", "print the result as JSON on standard output");

/** An option that a user may try here because a related verb has it; the message names the one to use. */
export const otherOption = (flag: string, instead: string) =>
  new Option(`${flag} [value]`).hideHelp().argParser(() => {
    throw new InvalidArgumentError(`Here ${instead}.`);
  });

/** A whole number of at least `minimum` and at most `maximum`. */
export function wholeNumber(minimum: number, maximum = Number.MAX_SAFE_INTEGER) {
  const range =
    maximum === Number.MAX_SAFE_INTEGER ? `of at least ${minimum}` : `from ${minimum} to ${maximum}`;
  return (text: string): number => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < minimum || value > maximum) {
      throw new InvalidArgumentError(`Expected a whole number ${range}.`);
    }
    return value;
  };
}

/** A number of at least `minimum`. */
export function realNumber(minimum: number) {
  return (text: string): number => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isFinite(value) || value < minimum) {
      throw new InvalidArgumentError(`Expected a number of at least ${minimum}.`);
    }
    return value;
  };
}

/** Values separated by commas, each one of `choices`, ignoring case. */
export function listOf<T extends string>(choices: readonly T[]) {
  return (text: string): T[] => {
    const chosen = text.split(",").map((part) => {
      const choice = choices.find((candidate) => candidate.toLowerCase() === part.trim().toLowerCase());
      if (choice === undefined)
        throw new InvalidArgumentError(`Unknown ${JSON.stringify(part)}; expected ${choices.join(", ")}.`);
      return choice;
    });
    requireDistinct(chosen);
    return chosen;
  };
}

/** Rejects a value listed twice, because a run must not count twice. */
export function requireDistinct(items: readonly (string | number)[]): void {
  const twice = items.find((item, i) => items.indexOf(item) !== i);
  if (twice !== undefined) throw new InvalidArgumentError(`${twice} is listed twice.`);
}

/** The scale of an experiment. */
export const scaleOption = () =>
  new Option(
    "--scale <scale>",
    "small: minutes on a CPU; full: the paper's setting; a fraction such as 0.1: that part of the paper's epochs",
  )
    .argParser((text: string) => {
      try {
        return parseScale(text);
      } catch (error) {
        throw new InvalidArgumentError(messageOf(error));
      }
    })
    .default("small");

/** Seeds of repeated runs. */
export const seedsOption = () =>
  new Option("--seeds <numbers>", "separated by commas")
    .argParser((text: string) => {
      const seeds = text.split(",").map((part) => wholeNumber(0)(part.trim()));
      requireDistinct(seeds);
      return seeds;
    })
    .default([0], "0");

/** As for `train`; for verbs that measure or time kernels, the precision of what they measure. */
export const precisionOption = () =>
  new Option("--precision <type>", "how numbers are stored: f32, or activations in 16 bits (mixed)")
    .choices(["f32", "mixed"])
    .default("f32");

/** Memory of a step in MiB, as for `train`. */
export const stepMemoryOption = () =>
  new Option(
    "--memory <MiB>",
    `GPU memory for the tensors of one step, as for train (default: ${RUN_OPTIONS.memory.default}; a large batch without ghosts needs more at full scale)`,
  ).argParser(wholeNumber(1));

/** Options about checkpoints, for verbs that train. */
export const checkpointOptions = () => [
  new Option(
    "--checkpoint-every <interval>",
    "steps (500) or time (30s, 5m, 2h) between checkpoints, or never (default: 5m)",
  ).argParser(checkpointInterval),
  new Option(
    "--keep-checkpoints <count>",
    "how many of the newest checkpoints to keep during a run (default: 2)",
  ).argParser(wholeNumber(1)),
  new Option(
    "--on-usr2 <action>",
    "whether to end the run or continue training after the checkpoint that SIGUSR2 requests (default: stop)",
  ).choices(["stop", "continue"]),
];

export interface CheckpointFlags {
  checkpointEvery?: CheckpointOptions["every"];
  keepCheckpoints?: number;
  onUsr2?: OnUsr2;
}

/** Those of these options that were given, to repeat them when a run continues. */
export function resumeWords(
  flags: CheckpointFlags & { adapter?: string; tuning?: string; logEvery?: number },
): string[] {
  const { checkpointEvery, keepCheckpoints, onUsr2, logEvery, adapter, tuning } = flags;
  const interval = checkpointEvery && intervalText(checkpointEvery);
  const given = Object.entries({
    "--checkpoint-every": interval,
    "--keep-checkpoints": keepCheckpoints,
    "--on-usr2": onUsr2,
    "--log-every": logEvery,
    "--adapter": adapter,
    "--tuning": tuning,
  });
  return given.flatMap(([option, value]) => (value === undefined ? [] : [option, String(value)]));
}

export interface PlanFlags {
  adapter?: string;
  assumeLimits?: string;
  dryRun?: boolean;
}

/** Options of the GPU session for a verb that may only plan. @throws UsageError for limits that would have no effect */
export function planOptions({ adapter, assumeLimits: limits, dryRun }: PlanFlags) {
  if (limits === undefined) return { adapter, planWith: dryRun ? {} : undefined };
  if (!dryRun)
    throw new UsageError(`--assume-limits ${limits}: needs --dry-run, because training needs the GPU itself`);
  if (adapter !== undefined)
    throw new UsageError(
      `--assume-limits ${limits}: --adapter ${adapter} already names a GPU; omit one of them`,
    );
  return { planWith: { limits } };
}

/** Flags over defaults. */
export function checkpointsOf({ checkpointEvery, keepCheckpoints }: CheckpointFlags): CheckpointOptions {
  const { every, keep } = DEFAULT_CHECKPOINTS;
  return { every: checkpointEvery ?? every, keep: keepCheckpoints ?? keep };
}

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600 };

/** A length of time such as 30s, 5m or 2h, in seconds. */
export function duration(text: string): number {
  const [, number, unit] = text.match(/^(\d{1,9}(?:\.\d+)?)([smh])$/) ?? [];
  if (unit === undefined || Number(number) === 0)
    throw new InvalidArgumentError("Expected a time such as 30s, 5m or 2h.");
  return Number(number) * SECONDS[unit]!;
}

/** Rate of a network in bytes per second, such as 800MB/s or 25GB/s. */
export function rate(text: string): number {
  const [, number, prefix] = text.match(/^(\d{1,6}(?:\.\d+)?)([MG])B\/s$/) ?? [];
  if (prefix === undefined || Number(number) === 0)
    throw new InvalidArgumentError("Expected a rate such as 800MB/s or 25GB/s.");
  return Number(number) * (prefix === "G" ? 1e9 : 1e6);
}

function intervalText(every: CheckpointOptions["every"]): string {
  if ("seconds" in every) return `${every.seconds}s`;
  return Number.isFinite(every.steps) ? String(every.steps) : "never";
}

/** Steps, a time, or never. */
export function checkpointInterval(text: string): CheckpointOptions["every"] {
  if (text === "never") return { steps: Number.POSITIVE_INFINITY };
  if (/^\d+$/.test(text)) return { steps: wholeNumber(1)(text) };
  return { seconds: duration(text) };
}

/** The command line, quoted so that it can be typed again. */
export function typedCommand(): string {
  return shellCommand(["ghostbatch", ...process.argv.slice(2)]);
}
