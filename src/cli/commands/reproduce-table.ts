import { Command, Option } from "commander";
import { CHOICES, COLUMNS, columnTitle, METHODS, type Row } from "../../paper/columns.ts";
import type { Images } from "../../paper/images.ts";
import { describeScale, type Scale, settingsOf } from "../../paper/scale.ts";
import { cellOf, paperValue, statisticsNotes, tableJson } from "../../paper/table-report.ts";
import { ROWS } from "../../paper/table1.ts";
import { LARGE_BATCHES, TABLE2_ROWS } from "../../paper/table2.ts";
import type { FinishedRun } from "../../run/runner.ts";
import { emitRequests } from "../emit-requests.ts";
import { addEmitOptions, requireEmit } from "../emit-slurm.ts";
import {
  listOf,
  otherOption,
  precisionOption,
  scaleOption,
  seedsOption,
  stepMemoryOption,
  wholeNumber,
} from "../options.ts";
import { addRequestOptions, carryOut, dryRun, folderNames, openSession, writeRecord } from "../request.ts";
import { imagesOption, unseenNotes } from "../row-images.ts";
import { requestedRows, type TableFlags, type TableKind } from "../table-rows.ts";
import { printTable } from "../table-text.ts";

export function table1Command(): Command {
  const command = new Command("table1")
    .description(
      "Table 1: accuracy of the small batch, the large batch, and the large batch with the remedies",
    )
    .addOption(
      new Option(
        "--rows <names>",
        `networks, separated by commas: ${Object.keys(ROWS).join(", ")} (default: all)`,
      ).argParser(listOf(Object.keys(ROWS))),
    )
    .addOption(otherOption("--model", "tables take networks by rows: use --rows"))
    .addOption(columnsOption())
    .addOption(
      new Option(
        "--large-batch <size>",
        "images in the large batch (default: the row's, 4096 at full scale)",
      ).argParser(wholeNumber(1)),
    )
    .addOption(scaleOption())
    .addOption(seedsOption())
    .addOption(choicesOption())
    .addOption(reestimateOption());
  return withOptions(command).action((flags: TableFlags) => runTable("table1", ROWS, flags));
}

export function table2Command(): Command {
  const command = new Command("table2")
    .description("Table 2: AlexNet on ImageNet, large batches of 4096 and 8192")
    .addOption(new Option("--batch <size>", "large batch (default: both)").choices(LARGE_BATCHES.map(String)))
    .addOption(columnsOption())
    .addOption(scaleOption())
    .addOption(seedsOption())
    .addOption(choicesOption())
    .addOption(reestimateOption());
  return withOptions(command).action((flags: TableFlags) => {
    const rows = flags.batch === undefined ? undefined : [`alexnet-${flags.batch}`];
    return runTable("table2", TABLE2_ROWS, { ...flags, ...(rows && { rows }) });
  });
}

function withOptions(command: Command): Command {
  return addEmitOptions(
    addRequestOptions(
      command.addOption(imagesOption()).addOption(stepMemoryOption()).addOption(precisionOption()),
    ),
    { local: false },
  );
}

function columnsOption(): Option {
  return new Option(
    "--columns <names>",
    `methods, separated by commas: ${COLUMNS.join(", ")}, and beyond the paper LINEAR (linear rule with warm-up), NOISE (multiplicative noise), GROWTH (growing batch)`,
  )
    .argParser(listOf(METHODS))
    .default([...COLUMNS], COLUMNS.join());
}

function choicesOption(): Option {
  return new Option(
    "--choices <set>",
    "choices that the paper leaves open: the defaults of train, or those nearest to the published numbers (gamma from U(0, 1) in f1, c1, c3 and alexnet)",
  )
    .choices(CHOICES)
    .default("defaults");
}

function reestimateOption(): Option {
  return new Option(
    "--reestimate-statistics <batches>",
    "add a second accuracy to every cell, with running statistics re-estimated on this many training batches; 0, as published: none",
  )
    .argParser(wholeNumber(0))
    .default(0);
}

async function runTable(
  kind: TableKind,
  table: Readonly<Record<string, Row>>,
  flags: TableFlags,
): Promise<void> {
  const { columns, scale, seeds, reestimateStatistics } = flags;
  requireEmit(flags, { local: false });
  const { available, missing } = await requestedRows(kind, table, flags);
  const before = [
    ...missing.map(({ name, reason }) => `skipping row ${name}: ${reason}`),
    ...unseenNotes(available, flags),
  ];
  const cells = available.flatMap(({ name, row }) => columns.map((column) => ({ name, row, column })));
  const requests = available.flatMap((row) => row.requests);
  const id = recordId(kind, flags);
  if (flags.emit !== undefined) return emitRequests(id, requests, flags, before);
  const session = openSession(flags, before);
  if (flags.dryRun) return dryRun(session, requests, flags);
  const runs = await carryOut(session, requests, flags);
  const rows = Object.fromEntries(available.map(({ name, row }) => [name, row]));
  const runsOf = (index: number): FinishedRun[] =>
    runs.slice(index * seeds.length, (index + 1) * seeds.length);
  const results = cells.map(({ name, row, column }, i) => cellOf(name, row, column, runsOf(i)));
  const notes = [
    ...available.map(({ row, images }) => rowNote(row, scale, images)),
    ...missing.map(({ name, reason }) => `row ${name} was skipped: ${reason}`),
    ...optionNotes(flags),
    ...statisticsNotes(results, reestimateStatistics),
  ];
  await writeRecord(flags.runsDir, {
    kind,
    id,
    title: `${kind === "table1" ? "Table 1" : "Table 2"}: ${describeScale(scale)}`,
    scale: String(scale),
    notes,
    series: cells.map(({ row, column }, i) => ({
      name: columnTitle(column),
      group: `${row.network} on ${row.dataset}`,
      batchSize: requests[i * seeds.length]!.spec.batchSize,
      paper: paperValue(row, column),
      runs: folderNames(runsOf(i)),
    })),
  });
  if (flags.json) {
    console.log(JSON.stringify(await tableJson(scale, rows, results), null, 2));
    return;
  }
  printTable(kind, rows, scale, results);
  for (const note of notes) console.log(note);
}

/** Id of an experiment's record: its kind and the options that change its runs. */
function recordId(
  kind: TableKind,
  { scale, largeBatch, choices, precision, reestimateStatistics }: TableFlags,
): string {
  return [
    `${kind}-${scale}`,
    ...(largeBatch === undefined ? [] : [`batch-${largeBatch}`]),
    ...(choices === "defaults" ? [] : [choices]),
    ...(precision === "f32" ? [] : [precision]),
    ...(reestimateStatistics > 0 ? [`reestimated-${reestimateStatistics}`] : []),
  ].join("-");
}

function optionNotes({ largeBatch, choices, precision }: TableFlags): string[] {
  return [
    ...(largeBatch === undefined
      ? []
      : [`large batch of ${largeBatch}; what the paper published for other batches is left out`]),
    ...(choices === "published"
      ? ["choices as published: gamma from U(0, 1) where the network takes --gamma"]
      : []),
    ...(precision === "mixed" ? ["in mixed precision: activations and their gradients in f16"] : []),
  ];
}

function rowNote(row: Row, scale: Scale, { note }: Images): string {
  const { small, large } = row.scales[settingsOf(scale).base];
  const parts = [
    ...(scale === "small" ? [`${row.reduced}, batches of ${small} and ${large}`] : []),
    ...(note === null ? [] : [note]),
  ];
  return `${row.network}: ${parts.join("; ") || describeScale(scale)}`;
}
