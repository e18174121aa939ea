import { Command, Option } from "commander";
import type { Row } from "../../experiments/columns.ts";
import { FIGURE_TITLES, FIGURES, type Figure, figureNotes, figureRuns } from "../../experiments/figures.ts";
import { imagesFor } from "../../experiments/images.ts";
import { measureFigure4 } from "../../experiments/measure/figure4.ts";
import type { FinishedRun } from "../../experiments/runner.ts";
import { describeScale, type Scale } from "../../experiments/scale.ts";
import { ROWS } from "../../experiments/table1.ts";
import { describeDirections } from "../../report/describe-measurement.ts";
import { UsageError } from "../../support/errors.ts";
import { listOf, scaleOption, seedsOption, wholeNumber } from "../options.ts";
import {
  addRequestOptions,
  carryOut,
  dryRun,
  folderNames,
  openSession,
  type RequestedRun,
  type RequestFlags,
  writeRecord,
} from "../request.ts";
import { loadOptions } from "../transfer-line.ts";

interface FigureFlags extends RequestFlags {
  /** A row of Table 1, in a list of one. */
  model?: string[];
  scale: Scale;
  seeds: number[];
  directions?: number;
}

const ABOUT: Readonly<Record<Figure, string>> = {
  figure1: "Figure 1: training and validation error against epoch for six batch sizes",
  figure2:
    "Figure 2: distance from the start against iteration, without and with the cures, and which law fits it",
  figure3: "Figure 3: validation error against iteration, the regime stretched for large batches",
};

export function figureCommands(): Command[] {
  return [...FIGURES.map(figureCommand), figure4Command()];
}

function figureCommand(figure: Figure): Command {
  const command = new Command(figure)
    .description(ABOUT[figure])
    .addOption(rowOption())
    .addOption(scaleOption())
    .addOption(seedsOption());
  return addRequestOptions(command).action((flags: FigureFlags) => runFigure(figure, flags));
}

function rowOption(): Option {
  return new Option(
    "--model <row>",
    `row of Table 1 whose network and data are used: ${Object.keys(ROWS).join(", ")} (default: f1 at small scale, else resnet44)`,
  ).argParser(listOf(Object.keys(ROWS)));
}

function chosenRow({ model: names, scale }: FigureFlags): { name: string; row: Row } {
  if (names !== undefined && names.length !== 1) throw new UsageError("--model: expected one row");
  const name = names?.[0] ?? (scale === "small" ? "f1" : "resnet44");
  return { name, row: ROWS[name]! };
}

async function runFigure(figure: Figure, flags: FigureFlags): Promise<void> {
  const { scale, seeds, dataDir } = flags;
  const { name, row } = chosenRow(flags);
  const images =
    flags.dryRun && scale !== "small"
      ? { dataset: row.scales.full.base.dataset, note: null }
      : imagesFor(row, scale, dataDir);
  // One list for each seed, all with the same curves in the same order.
  const bySeed = seeds.map((seed) => figureRuns(figure, { row, scale, seed, images: images.dataset }));
  const requests = bySeed.flatMap((runs, i) =>
    runs.map(
      ({ name: curve, panel, spec, batchSize }): RequestedRun => ({
        title: `${figure}${panel} ${curve} seed ${seeds[i]}`,
        label: `${figure}${panel}-${name}-b${batchSize}-${scale}`,
        spec,
      }),
    ),
  );
  const session = openSession(flags);
  if (flags.dryRun) return dryRun(session, requests, flags);
  const runs = await carryOut(session, requests, flags);
  const curves = bySeed[0]!;
  const ofCurve = (index: number): FinishedRun[] => seeds.map((_, i) => runs[i * curves.length + index]!);
  const path = await writeRecord(flags.runsDir, {
    kind: figure,
    id: `${figure}-${name}-${scale}`,
    title: FIGURE_TITLES[figure],
    scale: String(scale),
    notes: [
      ...figureNotes(figure, { row, scale }),
      ...(images.note === null ? [] : [`${row.network}: ${images.note}`]),
    ],
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
  console.log(
    `the figure: ghostbatch report --experiment ${figure}-${name}-${scale} --runs-dir ${flags.runsDir}`,
  );
}

function figure4Command(): Command {
  const command = new Command("figure4")
    .description(
      "Figure 4: spread of the loss along random directions from the start, at short, medium and long range",
    )
    .addOption(rowOption())
    .addOption(scaleOption())
    .addOption(seedsOption())
    .addOption(
      new Option(
        "--directions <count>",
        "random directions for each range (default: 200 at small scale, 1000)",
      ).argParser(wholeNumber(10)),
    );
  return addRequestOptions(command).action(runFigure4);
}

async function runFigure4(flags: FigureFlags): Promise<void> {
  const { scale, dataDir } = flags;
  if (flags.dryRun)
    throw new UsageError("figure4: trains nothing, so there is nothing for --dry-run to plan");
  const { name, row } = chosenRow(flags);
  const images = imagesFor(row, scale, dataDir);
  const session = openSession(flags);
  const gpu = await session.open();
  const seed = flags.seeds[0]!;
  const data = await measureFigure4(
    gpu,
    { row, scale, seed, images: images.dataset },
    {
      directions: flags.directions ?? (scale === "small" ? 200 : 1000),
      load: loadOptions(flags),
      onProgress: (text) => console.error(text),
    },
  );
  const id = `figure4-${name}-${scale}`;
  const path = await writeRecord(flags.runsDir, {
    kind: "figure4",
    id,
    title: "Figure 4: spread of the loss along random directions from the start",
    scale: String(scale),
    notes: [
      `${row.network} on ${row.dataset}, ${describeScale(scale)}, before training, seed ${seed}`,
      ...data.notes,
    ],
    series: [],
    data: data.measurements,
  });
  if (flags.json) console.log(JSON.stringify({ record: path, measurements: data.measurements }, null, 2));
  else {
    for (const line of describeDirections(data.measurements)) console.log(line);
    console.log(`the figure: ghostbatch report --experiment ${id} --runs-dir ${flags.runsDir}`);
  }
}
