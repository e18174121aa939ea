import { Command, Option } from "commander";
import { cellSpec, type Row } from "../../paper/columns.ts";
import { figure4Cost, measureFigure4 } from "../../paper/figure4.ts";
import { FIGURE_TITLES, FIGURES, type Figure, figureNotes, figureRuns } from "../../paper/figures.ts";
import type { Images } from "../../paper/images.ts";
import { describeScale } from "../../paper/scale.ts";
import { ROWS } from "../../paper/table1.ts";
import { describeDirections } from "../../report/describe-measurement.ts";
import type { FinishedRun } from "../../run/runner.ts";
import { DataError } from "../../support/errors.ts";
import { formatCount, formatQuantity } from "../../support/format.ts";
import { emitRequests, emitVerb } from "../emit-requests.ts";
import { addEmitOptions, onGpus, requireEmit } from "../emit-slurm.ts";
import { otherOption, scaleOption, seedsOption, stepMemoryOption, wholeNumber } from "../options.ts";
import {
  addRequestOptions,
  carryOut,
  dryRun,
  folderNames,
  openSession,
  type RequestedRun,
  writeRecord,
} from "../request.ts";
import { type ImageFlags, imagesOption, rowImages, unseenNotes } from "../row-images.ts";
import { loadOptions } from "../transfer-line.ts";

interface RowFlags extends ImageFlags {
  /** A row of Table 1. */
  model?: string;
}

interface FigureFlags extends RowFlags {
  memory?: number;
  seeds: number[];
}

interface Figure4Flags extends RowFlags {
  seed: number;
  directions?: number;
}

const ABOUT: Readonly<Record<Figure, string>> = {
  figure1: "Figure 1: training and validation error against epoch for six batch sizes",
  figure2:
    "Figure 2: distance from the start against iteration, without and with the remedies, and fitted growth laws",
  figure3: "Figure 3: validation error against iteration, with regime adaptation for large batches",
};

export function figureCommands(): Command[] {
  return [...FIGURES.map(figureCommand), figure4Command()];
}

function figureCommand(figure: Figure): Command {
  const command = new Command(figure)
    .description(ABOUT[figure])
    .addOption(rowOption())
    .addOption(imagesOption())
    .addOption(otherOption("--rows", "figures are of one network: use --model"))
    .addOption(scaleOption())
    .addOption(seedsOption())
    .addOption(stepMemoryOption());
  addEmitOptions(addRequestOptions(command), { local: false });
  return command.action((flags: FigureFlags) => runFigure(figure, flags));
}

function rowOption(): Option {
  return new Option(
    "--model <row>",
    `row of Table 1 from which to take network and data: ${Object.keys(ROWS).join(", ")} (default: f1 at small scale, else resnet44)`,
  ).choices(Object.keys(ROWS));
}

/** Alternative if a row has no images. */
const OTHER_ROW = "choose another network with --model";

function chosenRow({ model, scale }: RowFlags): { name: string; row: Row } {
  const name = model ?? (scale === "small" ? "f1" : "resnet44");
  return { name, row: ROWS[name]! };
}

function imageNotes({ network }: Row, { note }: Images): string[] {
  return note === null ? [] : [`${network}: ${note}`];
}

async function runFigure(figure: Figure, flags: FigureFlags): Promise<void> {
  const { scale, seeds, memory } = flags;
  requireEmit(flags, { local: false });
  const { name, row } = chosenRow(flags);
  const images = rowImages(row, flags, OTHER_ROW);
  // One list per seed, all with the same curves in the same order.
  const choice = { row, scale, images: images.dataset, memory };
  const bySeed = seeds.map((seed) => figureRuns(figure, { ...choice, seed }));
  const requested = bySeed.flatMap((runs, i) =>
    runs.map(
      ({ name: curve, panel, spec, batchSize }): RequestedRun => ({
        title: `${figure}${panel} ${curve} seed ${seeds[i]}`,
        label: `${figure}${panel}-${name}-b${batchSize}-${scale}`,
        spec,
        images,
      }),
    ),
  );
  const requests = onGpus(requested, flags);
  const id = `${figure}-${name}-${scale}`;
  const before = unseenNotes([{ row, images }], flags);
  if (flags.emit !== undefined) return emitRequests(id, requests, flags, before);
  const session = openSession(flags, before);
  if (flags.dryRun) return dryRun(session, requests, flags);
  const runs = await carryOut(session, requests, flags);
  const curves = bySeed[0]!;
  const ofCurve = (index: number): FinishedRun[] => seeds.map((_, i) => runs[i * curves.length + index]!);
  const path = await writeRecord(flags.runsDir, {
    kind: figure,
    id,
    title: FIGURE_TITLES[figure],
    scale: String(scale),
    notes: [...figureNotes(figure, { row, scale }), ...imageNotes(row, images)],
    series: curves.map(({ name: curve, panel, batchSize }, i) => ({
      name: curve,
      group: panel,
      batchSize,
      paper: null,
      runs: folderNames(ofCurve(i)),
    })),
  });
  if (flags.json) {
    const described = curves.map(({ name: curve, panel, batchSize }, i) => ({
      name: curve,
      panel,
      batchSize,
      runs: ofCurve(i).map(({ folder, summary }) => ({ folder, ...summary })),
    }));
    console.log(JSON.stringify({ record: path, series: described }, null, 2));
    return;
  }
  for (const [i, { name: curve, panel }] of curves.entries()) {
    const summaries = ofCurve(i).map(({ summary }) => summary);
    const { steps } = summaries[0]!;
    const list = (value: (summary: (typeof summaries)[number]) => number) =>
      summaries.map((summary) => value(summary).toFixed(2)).join(", ");
    console.log(
      `${panel === "" ? "" : `(${panel}) `}${curve}: ${steps} steps, accuracy ${list(({ accuracy }) => accuracy)} %, ` +
        `distance ${list(({ distanceFirst }) => distanceFirst)} (first parameter), ${list(({ distanceAll }) => distanceAll)} (all)`,
    );
  }
  console.log(`the figure: ghostbatch report --experiment ${id} --runs-dir ${flags.runsDir}`);
}

function figure4Command(): Command {
  const command = new Command("figure4")
    .description(
      "Figure 4: spread of the loss along random directions from the start, at short, medium and long range",
    )
    .addOption(rowOption())
    .addOption(imagesOption())
    .addOption(otherOption("--rows", "figures are of one network: use --model"))
    .addOption(scaleOption())
    .addOption(
      new Option("--seed <number>", "seed of the initial weights and of the directions")
        .argParser(wholeNumber(0))
        .default(0),
    )
    .addOption(
      new Option(
        "--directions <count>",
        "random directions per range (default: 200 at small scale, else 1000)",
      ).argParser(wholeNumber(10)),
    );
  addEmitOptions(addRequestOptions(command), { local: false });
  return command.action(runFigure4);
}

async function runFigure4(flags: Figure4Flags): Promise<void> {
  const { scale, seed } = flags;
  requireEmit(flags, { local: false });
  const { name, row } = chosenRow(flags);
  const images = rowImages(row, flags, OTHER_ROW);
  const directions = flags.directions ?? (scale === "small" ? 200 : 1000);
  const choice = { row, scale, seed, images: images.dataset };
  const id = `figure4-${name}-${scale}`;
  const before = unseenNotes([{ row, images }], flags);
  if (flags.emit !== undefined) {
    const options = { "--model": name, "--scale": scale, "--seed": seed, "--directions": directions };
    const words = ["reproduce", "figure4", ...Object.entries(options).flat().map(String)];
    for (const note of before) console.error(note);
    await emitVerb({ id, spec: cellSpec(row, { column: "SB", ...choice }) }, words, flags);
    console.log(`when it has finished: ghostbatch report --experiment ${id} --runs-dir ${flags.runsDir}`);
    return;
  }
  if (images.missing !== null && !flags.dryRun) throw new DataError(images.missing);
  const gpu = await openSession(flags, before).open();
  const load = loadOptions(flags);
  const cost = await figure4Cost(gpu, { ...choice, images: images.planned }, { directions, load });
  console.error(
    `to compute: the loss at ${formatCount(cost.losses)} points, each on ${formatCount(cost.samples)} images: ${formatQuantity(cost.flops, "FLOP")}`,
  );
  if (flags.dryRun) return;
  const onProgress = (text: string) => console.error(text);
  const data = await measureFigure4(gpu, choice, { directions, load, onProgress });
  const path = await writeRecord(flags.runsDir, {
    kind: "figure4",
    id,
    title: "Figure 4: spread of the loss along random directions from the start",
    scale: String(scale),
    notes: [
      `${row.network} on ${row.dataset}, ${describeScale(scale)}, before training, seed ${seed}`,
      ...imageNotes(row, images),
      ...data.notes,
    ],
    series: [],
    adapter: gpu.adapter.name,
    data: data.measurements,
  });
  if (flags.json) console.log(JSON.stringify({ record: path, measurements: data.measurements }, null, 2));
  else {
    for (const line of describeDirections(data.measurements)) console.log(line);
    console.log(`the figure: ghostbatch report --experiment ${id} --runs-dir ${flags.runsDir}`);
  }
}
