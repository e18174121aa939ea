/** The command line: `ghostbatch VERB …`. */
import { Command, CommanderError } from "commander";
import { followingRank, requireOneProcess } from "../host/node/mpi/launcher.ts";
import { versions } from "../run/environment.ts";
import { env } from "../support/env.ts";
import { UsageError } from "../support/errors.ts";
import { visible } from "../support/visible.ts";
import { benchCommand } from "./commands/bench.ts";
import { dataCommand } from "./commands/data.ts";
import { doctorCommand } from "./commands/doctor.ts";
import { measureCommand } from "./commands/measure.ts";
import { playgroundCommand } from "./commands/playground.ts";
import { reportCommand } from "./commands/report.ts";
import { reproduceCommand } from "./commands/reproduce.ts";
import { sweepCommand } from "./commands/sweep.ts";
import { trainCommand } from "./commands/train.ts";
import { tuneCommand } from "./commands/tune.ts";
import { verifyCommand } from "./commands/verify.ts";
import { watchCommand } from "./commands/watch.ts";
import { weightsCommand } from "./commands/weights.ts";
import { reportError } from "./report-error.ts";

const EXIT_CODES = [
  "Exit codes: 0 done, 1 failed or diverged, 2 wrong input or a failed write, 3 no adapter or device lost,",
  "130, 143, 129, 140 stopped by SIGINT, SIGTERM, SIGHUP, SIGUSR2, with a checkpoint if a run was in progress.",
].join("\n");

/**
 * Runs one command line and returns its exit code; errors are printed.
 * @param argv as process.argv
 */
export async function run(argv: readonly string[]): Promise<number> {
  try {
    process.exitCode = undefined; // set by a verb that has printed its error
    await createProgram().parseAsync(argv);
    return typeof process.exitCode === "number" ? process.exitCode : 0;
  } catch (thrown) {
    const rank = followingRank();
    // Of several processes with the same command line, only the first reports errors in it.
    if (rank !== null && (thrown instanceof CommanderError || thrown instanceof UsageError)) return 0;
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2; // already printed
    return reportError(thrown, rank ?? "");
  }
}

function createProgram(): Command {
  const program = new Command("ghostbatch")
    .description(
      "A from-scratch WebGPU training engine that reproduces 'Train longer, generalize better' (Hoffer et al. 2017)",
    )
    .version(versions().ghostbatch!)
    .showSuggestionAfterError()
    .addHelpText("after", `\n${EXIT_CODES}\n\nVariables:\n${variables()}`);

  for (const command of [
    doctorCommand(),
    tuneCommand(),
    trainCommand(),
    sweepCommand(),
    reproduceCommand(),
    measureCommand(),
    reportCommand(),
    watchCommand(),
    playgroundCommand(),
    verifyCommand(),
    benchCommand(),
    dataCommand(),
    weightsCommand(),
  ]) {
    if (!VERBS_OF_RANKS.includes(command.name()))
      command.hook("preAction", () => requireOneProcess(`ghostbatch ${command.name()}`));
    program.addCommand(command);
  }
  for (const command of everyCommand(program)) {
    command.exitOverride().showSuggestionAfterError();
    // commander puts its suggestion on a separate line.
    command.configureOutput({
      outputError: (text, write) => {
        if (followingRank() === null)
          write(`${visible(text.trim().replaceAll(/\s*\n\s*/g, " "))}${helpHint(command, text)}\n`);
      },
    });
  }
  return program;
}

/** Where to read which words a command takes, after an error about their number. */
function helpHint(command: Command, text: string): string {
  if (!/missing required argument|too many arguments|required option/.test(text)) return "";
  const words: string[] = [];
  for (let at: Command | null = command; at !== null; at = at.parent) words.unshift(at.name());
  const stop = text.trim().endsWith(".") ? " See" : "; see";
  return `${stop} \`${words.join(" ")} --help\``;
}

/** Verbs that support several processes of one launcher. */
const VERBS_OF_RANKS = ["train", "doctor"];

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap((child) => everyCommand(child as Command))];
}

function variables(): string {
  return env
    .variables()
    .map(({ name, meaning }) => `  ${name.padEnd(20)} ${meaning}`)
    .join("\n");
}
