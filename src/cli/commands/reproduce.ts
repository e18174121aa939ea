import { Command } from "commander";
import { figureCommands } from "./reproduce-figure.ts";
import { table1Command, table2Command } from "./reproduce-table.ts";

export function reproduceCommand(): Command {
  const command = new Command("reproduce").description("run an experiment of the paper");
  for (const experiment of [table1Command(), table2Command(), ...figureCommands()])
    command.addCommand(experiment);
  return command;
}
