import Table from "cli-table3";
import { Command, Option } from "commander";
import { RunControl } from "../../experiments/run-control.ts";
import { finishedRun, runOnce } from "../../experiments/runner.ts";
import { type Cell, cellOf, table1Json } from "../../experiments/table1-report.ts";
import { COLUMNS, type Column, cellSpec, ROWS, SCALES, type Scale } from "../../experiments/table1.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { GpuSession } from "../../host/gpu-session.ts";
import { formatCount, formatDuration, formatQuantity } from "../../support/format.ts";
import {
  adapterOption,
  type CheckpointFlags,
  checkpointOptions,
  checkpointsOf,
  dataDirOption,
  jsonOption,
  listOf,
  runsDirOption,
  typedCommand,
  wholeNumber,
} from "../options.ts";
import { ProgressLine } from "../progress.ts";
import { SIGNAL_HELP, withSignals } from "../signals.ts";

interface Table1Options extends CheckpointFlags {
  rows: string[];
  columns: Column[];
  scale: Scale;
  seeds: number[];
  adapter?: string;
  dataDir?: string;
  runsDir: string;
  json?: boolean;
}

export function reproduceCommand(): Command {
  return new Command("reproduce").description("an experiment of the paper, from one command").addCommand(table1Command());
}

function table1Command(): Command {
  const rows = Object.keys(ROWS);
  const command = new Command("table1")
    .description("Table 1: accuracy of small batch, large batch and the large batch with its cures")
    .addOption(new Option("--rows <names>", "networks, separated by commas").argParser(listOf(rows)).default(rows))
    .addOption(new Option("--columns <names>", "methods, separated by commas").argParser(listOf(COLUMNS)).default([...COLUMNS]))
    .addOption(new Option("--scale <scale>", "small: minutes on a CPU; full: the paper's").choices(SCALES).default("small"))
    .addOption(new Option("--seeds <numbers>", "separated by commas").argParser(seedList).default([0]))
    .addOption(adapterOption())
    .addOption(dataDirOption())
    .addOption(runsDirOption())
    .addOption(jsonOption())
    .addHelpText("after", `\n${SIGNAL_HELP}`)
    .action(runTable1);
  for (const option of checkpointOptions()) command.addOption(option);
  return command;
}

function seedList(text: string): number[] {
  return text.split(",").map((part) => wholeNumber(0)(part.trim()));
}

async function runTable1({ rows, columns, scale, seeds, adapter, dataDir, runsDir, json, ...flags }: Table1Options): Promise<void> {
  const session = new GpuSession({ adapter, onOpen: announce });
  const control = new RunControl();
  const cells: Cell[] = [];
  for (const name of rows) {
    const row = ROWS[name]!;
    for (const column of columns) {
      const runs = [];
      for (const seed of seeds) {
        const label = `table1-${name}-${column}-${scale}`;
        const spec = cellSpec(row, column, scale, seed);
        let run = await finishedRun(spec, label, runsDir);
        if (!run) {
          await session.open();
          const line = new ProgressLine(`${row.network} ${column} seed ${seed}`);
          const [onProgress, report] = [line.show.bind(line), line.print.bind(line)];
          const options = { runsDirectory: runsDir, dataDir, command: typedCommand(), checkpoints: checkpointsOf(flags), control, onProgress, report };
          run = await withSignals(control, flags, () => runOnce(session, spec, label, options)).finally(() => line.end());
        }
        runs.push(run);
      }
      cells.push(cellOf(name, column, runs));
    }
  }
  if (json) {
    console.log(JSON.stringify(await table1Json(scale, cells), null, 2));
    return;
  }
  printTable(scale, cells);
}

function announce({ adapter: { name, software } }: Gpu): void {
  console.error(`adapter: ${name}${software ? " (software: correct but slow)" : ""}`);
}

function printTable(scale: Scale, cells: readonly Cell[]): void {
  for (const name of new Set(cells.map((cell) => cell.row))) {
    const { network, dataset } = ROWS[name]!;
    const what = scale === "full" ? "the paper's scale" : "a small-scale run, not the paper's setting";
    console.log(`\nTable 1, ${network} on ${dataset}: ${what}; test accuracy in percent`);
    const table = new Table({
      head: ["method", "accuracy", "best", "paper (full scale)", "‖w−w₀‖ first", "‖w−w₀‖ all", "steps", "samples", "FLOP", "time"],
      style: { head: [], border: [] },
      colAligns: ["left", ...new Array<"right">(9).fill("right")],
    });
    for (const cell of cells.filter(({ row }) => row === name)) {
      const spread = cell.n > 1 ? ` ± ${cell.std.toFixed(2)} (n=${cell.n})` : "";
      table.push([
        cell.column === "SB" || cell.column === "LB" ? cell.column : `+${cell.column}`,
        `${cell.mean.toFixed(2)}${spread}`,
        cell.best.toFixed(2),
        cell.paper.toFixed(2),
        cell.distanceFirst.toFixed(2),
        cell.distanceAll.toFixed(2),
        formatCount(cell.steps),
        formatCount(cell.samples),
        formatQuantity(cell.flops, "FLOP"),
        formatDuration(cell.seconds) + (cell.reused ? " *" : ""),
      ]);
    }
    console.log(table.toString());
  }
  if (cells.some(({ reused }) => reused)) console.log("* finished before and not run again");
  console.log(`run folders:\n${cells.flatMap(({ folders }) => folders).map((folder) => `  ${folder}`).join("\n")}`);
}
