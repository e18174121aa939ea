/** The command line: `ghostbatch VERB …`. */
import { Command, CommanderError } from "commander";
import { versions } from "../run/environment.ts";
import { env } from "../support/env.ts";
import { GhostbatchError, messageOf, StoppedError } from "../support/errors.ts";
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
    process.exitCode = undefined; // a verb that has printed what is wrong sets it
    await createProgram().parseAsync(argv);
    return typeof process.exitCode === "number" ? process.exitCode : 0;
  } catch (thrown) {
    if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? 0 : 2; // its message is printed already
    if (thrown instanceof StoppedError) {
      console.error(thrown.message);
      return thrown.exitCode;
    }
    if (thrown instanceof GhostbatchError) {
      console.error(`error: ${messageOf(thrown)}`);
      if (env.debugLevel() > 0) console.error(thrown.stack);
      return thrown.exitCode;
    }
    console.error(
      `defect in ghostbatch: ${messageOf(thrown)}\nplease report it with the command and this trace:`,
    );
    console.error(thrown instanceof Error ? thrown.stack : thrown);
    return 1;
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
    program.addCommand(command);
  }
  for (const command of everyCommand(program)) {
    command.exitOverride().showSuggestionAfterError();
    // commander puts its suggestion on a line of its own.
    command.configureOutput({
      outputError: (text, write) => write(`${visible(text.trim().replaceAll(/\s*\n\s*/g, " "))}\n`),
    });
  }
  return program;
}

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap((child) => everyCommand(child as Command))];
}

function variables(): string {
  return env
    .variables()
    .map(({ name, meaning }) => `  ${name.padEnd(20)} ${meaning}`)
    .join("\n");
}
