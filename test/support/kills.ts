// Runs that are killed at random moments and resumed, compared with an undisturbed one.
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { boundedInteger, pcg4d, STREAMS } from "../../src/support/random.ts";
import { startCommand, trainerOf } from "./orphans.ts";
import { type Ended, type Program, runProgram, startProgram } from "./program.ts";

/** Numbers that depend on the clock. */
const TIMINGS = ["seconds", "setupSeconds", "imagesPerSecond", "gpuBytes"];

export interface KilledRuns {
  readonly runsDirectory: string;
  readonly name: string;
  /** YAML of the run's options. */
  readonly configuration: string;
  /** Further words of the command line. */
  readonly words: readonly string[];
  readonly kills: number;
  readonly seed: number;
  /** A process is killed within this many milliseconds of the first sign of steps. */
  readonly within: number;
  /**
   * Whether they run as commands that each start a trainer, as on a machine without a GPU. Then the trainer and the command are
   * killed in turn. Default false: the started process trains itself.
   */
  readonly asCommands?: boolean;
}

export interface KillReport {
  readonly kills: number;
  /** Kills of runs that ended with the bits of the undisturbed one. */
  readonly survived: number;
  /** Kills that left a half-written checkpoint behind. */
  readonly insideWrites: number;
  /** Kills before the process had begun to train. */
  readonly insideStarts: number;
  readonly runs: number;
  /** For each run that ended differently: its name, and the parts of its outcome that differ. */
  readonly differences: readonly string[];
}

/** At most this many kills of one run, so that several runs are compared. */
const KILLS_OF_A_RUN = 8;

export async function killRuns({
  runsDirectory,
  name,
  configuration,
  words,
  kills,
  seed,
  within,
  asCommands = false,
}: KilledRuns): Promise<KillReport> {
  const config = join(runsDirectory, `${name}.yaml`);
  writeFileSync(config, configuration);
  const command = (run: string) => [
    "train",
    "--config",
    config,
    "--runs-dir",
    runsDirectory,
    "--name",
    run,
    "--resume",
    ...words,
  ];
  let draws = 0;
  const below = (bound: number) => boundedInteger(pcg4d(seed, STREAMS.noise, draws++, 0)[0], bound);

  requireDone(await runProgram(command(name)));
  const expected = outcome(join(runsDirectory, name));
  const differences: string[] = [];
  const report = { kills: 0, survived: 0, insideWrites: 0, insideStarts: 0, runs: 0, differences };
  while (report.kills < kills) {
    const run = `${name}-${report.runs++}`;
    const folder = join(runsDirectory, run);
    const before = report.kills;
    while (report.kills < kills && report.kills < before + KILLS_OF_A_RUN) {
      const program = (asCommands ? startCommand : startProgram)(command(run));
      const trainer = asCommands && report.kills % 2 === 0 ? await trainerOf(program, runsDirectory) : null;
      // One kill in five at any moment of a start, the others during training.
      const starting = below(5) === 0;
      if (!starting) await firstStep(program, folder);
      await Promise.race([sleep(below(starting ? 1500 : within)), program.ended]);
      kill(trainer ?? program.child.pid!);
      // It has ended when nothing holds its output open. A trainer that outlived its command would write into the next one's run.
      const { signal } = await program.ended;
      if (signal !== "SIGKILL") break; // it was done before
      report.kills++;
      if (starting) report.insideStarts++;
      if (hasHalfWritten(folder)) report.insideWrites++;
    }
    const killed = report.kills - before;
    requireDone(await runProgram(command(run)));
    if (outcome(folder) === expected) report.survived += killed;
    else differences.push(`${run}: ${differingParts(outcome(folder), expected)}`);
  }
  return report;
}

/** A process that has just ended by itself counts as killed late. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Throws unless a run ended with exit code 0, in a separate process or in this one. */
export function requireDone({ code, signal, stderr }: Pick<Ended, "code" | "stderr"> & Partial<Ended>): void {
  if (code !== 0) throw new Error(`the run ended with ${signal ?? `code ${code}`}: ${stderr}`);
}

/** Everything that must not depend on interruptions, as one text. */
export function outcome(folder: string): string {
  const hex = (path: string) => readFileSync(path).toString("hex");
  const checkpoints = readdirSync(join(folder, "checkpoints")).sort();
  const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8").trimEnd().split("\n");
  const table = readFileSync(join(folder, "metrics.csv"), "utf8").trimEnd().split("\n");
  return JSON.stringify({
    weights: hex(join(folder, "weights.safetensors")),
    checkpoints,
    contents: checkpoints.map((name) => hex(join(folder, "checkpoints", name))),
    summary: withoutTimings(JSON.parse(readFileSync(join(folder, "summary.json"), "utf8"))),
    lines: lines.map((line) => withoutTimings(JSON.parse(line))),
    // imagesPerSecond is the last column.
    table: table.map((line) => line.replace(/,[^,]*$/, "")),
  });
}

/** The parts in which two outcomes differ, with the start of each. */
function differingParts(found: string, expected: string): string {
  const [foundParts, expectedParts] = [JSON.parse(found), JSON.parse(expected)];
  const start = (value: unknown) => JSON.stringify(value).slice(0, 200);
  return Object.keys(expectedParts)
    .filter((part) => JSON.stringify(foundParts[part]) !== JSON.stringify(expectedParts[part]))
    .map((part) => `${part}: expected ${start(expectedParts[part])}, found ${start(foundParts[part])}`)
    .join("; ");
}

function withoutTimings(record: object): object {
  return Object.fromEntries(Object.entries(record).filter(([key]) => !TIMINGS.includes(key)));
}

/** Resolves when a process has begun to train: it has written a checkpoint or metrics, or it has ended. */
export async function firstStep(program: Program, folder: string): Promise<void> {
  let done = false;
  void program.ended.then(() => {
    done = true;
  });
  const started = Date.now();
  const signs = () =>
    ["checkpoints", "metrics.jsonl"].some((name) => {
      const path = join(folder, name);
      return existsSync(path) && statSync(path).mtimeMs > started && statSync(path).size > 0;
    });
  while (!done && !signs()) await sleep(5);
}

function hasHalfWritten(folder: string): boolean {
  const path = join(folder, "checkpoints");
  if (!existsSync(path)) return false;
  const names = readdirSync(path);
  return names.some(
    (name) =>
      name.endsWith(".tmp") ||
      (name.endsWith(".safetensors") && !names.includes(name.replace(/safetensors$/, "json"))),
  );
}
