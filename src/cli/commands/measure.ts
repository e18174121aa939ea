import { basename } from "node:path";
import Table from "cli-table3";
import { Argument, Command, Option } from "commander";
import { MEASUREMENTS } from "../../measure/measurements.ts";
import { pointAfter, pointOfRun } from "../../measure/point.ts";
import { cellSpec } from "../../paper/columns.ts";
import { type ImageChoice, readableImages } from "../../paper/images.ts";
import type { Scale } from "../../paper/scale.ts";
import { ROWS } from "../../paper/table1.ts";
import { readLedger } from "../../report/ledger.ts";
import { completeSpec } from "../../run/run-spec.ts";
import { DataError, UsageError } from "../../support/errors.ts";
import { formatCount, formatDuration, formatQuantity } from "../../support/format.ts";
import type { Precision } from "../../train/precision.ts";
import {
  adapterOption,
  dataDirOption,
  jsonOption,
  realNumber,
  runsDirOption,
  scaleOption,
  wholeNumber,
} from "../options.ts";
import { openSession, writeRecord } from "../request.ts";
import { loadOptions } from "../transfer-line.ts";

interface MeasureFlags {
  adapter?: string;
  dataDir?: string;
  runsDir: string;
  json?: boolean;
  run?: string;
  model?: string;
  scale: Scale;
  epochs: number;
  seed: number;
  draws: number;
  target?: number;
  precision?: Precision;
}

export function measureCommand(): Command {
  const names = [...Object.keys(MEASUREMENTS), "ledger"];
  const about = Object.entries(MEASUREMENTS).map(([name, entry]) => `  ${name.padEnd(12)} ${entry.about}`);
  const command = new Command("measure")
    .description(
      "measure quantities behind the paper's argument, at the weights of a run or after some epochs",
    )
    .addArgument(new Argument("<what>", "the measurement").choices(names))
    .argument("[runs...]", "run folders, for ledger")
    .addOption(
      new Option(
        "--run <folder>",
        "measure at the final weights of this finished run (default: a new model after --epochs)",
      ),
    )
    .addOption(
      new Option(
        "--model <row>",
        `row of Table 1: ${Object.keys(ROWS).join(", ")} (default: f1 at small scale, else resnet44)`,
      ).choices(Object.keys(ROWS)),
    )
    .addOption(scaleOption())
    .addOption(
      new Option(
        "--epochs <number>",
        "epochs to train with the small batch before measuring; 0 measures the initial weights",
      )
        .argParser(realNumber(0))
        .default(1),
    )
    .addOption(
      new Option("--seed <number>", "seed of the model and of the random draws")
        .argParser(wholeNumber(0))
        .default(0),
    )
    .addOption(
      new Option("--draws <count>", "number of batches, rounds or directions")
        .argParser(wholeNumber(8))
        .default(24),
    )
    .addOption(
      new Option(
        "--precision <type>",
        "how numbers are stored in training and measuring a new model (default: f32; a run of --run is measured in its own)",
      ).choices(["f32", "mixed"]),
    )
    .addOption(
      new Option("--target <percent>", "ledger: the test accuracy to reach").argParser(realNumber(0)),
    );
  for (const option of [adapterOption(), dataDirOption(), runsDirOption(), jsonOption()])
    command.addOption(option);
  return command
    .addHelpText(
      "after",
      `\nMeasurements:\n${about.join("\n")}\n  ${"ledger".padEnd(12)} samples, steps, FLOP and seconds that runs need to reach a target accuracy`,
    )
    .action(measure);
}

async function measure(what: string, runs: string[], flags: MeasureFlags): Promise<void> {
  if (what === "ledger") return ledger(runs, flags);
  if (runs.length > 0)
    throw new UsageError(`measure ${what}: expected no run folders; give one run with --run`);
  const { precision = "f32" } = flags;
  if (flags.run !== undefined && flags.precision !== undefined)
    throw new UsageError("--precision: a run is measured in its own precision; omit it with --run");
  const session = openSession(flags);
  const gpu = await session.open();
  const { model, scale, seed, epochs, dataDir } = flags;
  const row = ROWS[model ?? (scale === "small" ? "f1" : "resnet44")]!;
  const choice: ImageChoice = { scale, dataDir, otherwise: "choose another network with --model" };
  const images = flags.run === undefined ? readableImages(row, choice) : null;
  const { measured, point } = await gpu.lifetime(async () => {
    const load = loadOptions(flags);
    const cell = () => cellSpec(row, { column: "SB", scale, seed, images: images?.dataset });
    const fresh = () => completeSpec({ ...cell(), precision });
    const point =
      flags.run === undefined
        ? await pointAfter(gpu, fresh(), epochs, load)
        : await pointOfRun(gpu, flags.run, load);
    return { measured: await MEASUREMENTS[what]!.measure(point, flags), point };
  });
  const place =
    flags.run === undefined
      ? `${flags.model ?? "default"}-${flags.scale}-epoch${flags.epochs}${precision === "f32" ? "" : `-${precision}`}`
      : basename(flags.run);
  const id = `measure-${what}-${place}`;
  const notes = [
    `measured at ${point.description}`,
    ...(images?.note ? [`${row.network}: ${images.note}`] : []),
    ...(measured.notes ?? []),
  ];
  const path = await writeRecord(flags.runsDir, {
    kind: `measure-${what}`,
    id,
    title: `${MEASUREMENTS[what]!.about}`,
    scale: flags.run === undefined ? String(flags.scale) : `that of ${basename(flags.run)}`,
    notes,
    series: [],
    adapter: gpu.adapter.name,
    data: measured.data,
  });
  if (flags.json) {
    console.log(JSON.stringify({ record: path, notes, data: measured.data }, null, 2));
    return;
  }
  for (const line of [...notes, ...measured.lines]) console.log(line);
  console.log(`the report: ghostbatch report --experiment ${id} --runs-dir ${flags.runsDir}`);
}

async function ledger(folders: readonly string[], { target, json, runsDir }: MeasureFlags): Promise<void> {
  if (target === undefined || folders.length === 0)
    throw new UsageError("measure ledger: expected run folders and --target PERCENT");
  const { entries, problems } = await readLedger(folders, target);
  for (const problem of problems) console.error(`warning: ${problem}`);
  if (entries.length === 0) throw new DataError("measure ledger: none of the runs can be read");
  if (json) {
    console.log(JSON.stringify({ target, runsDir, entries, problems }, null, 2));
    return;
  }
  const table = new Table({
    head: ["run", `steps to ${target} %`, "samples", "FLOP", "time", "final"],
    style: { head: [], border: [], compact: true },
    colAligns: ["left", "right", "right", "right", "right", "right"],
  });
  for (const { name, reached, final } of entries) {
    const numbers = reached
      ? [
          formatCount(reached.steps),
          formatCount(reached.samples),
          formatQuantity(reached.flops ?? Number.NaN, "FLOP"),
          formatDuration(reached.seconds ?? Number.NaN),
        ]
      : ["not reached", "", "", ""];
    table.push([name, ...numbers, final === null ? "not finished" : `${final.toFixed(2)} %`]);
  }
  console.log(table.toString());
}
