import { join } from "node:path";
import { Command, Option } from "commander";
import {
  benchGhostCost,
  COPY,
  GHOST_SHAPES,
  type GhostRow,
  ghostSizesUpTo,
  shapeText,
} from "../../bench/ghost-cost.ts";
import { ghostCsv } from "../../bench/ghost-csv.ts";
import { ghostFigure } from "../../bench/ghost-figure.ts";
import { adapterLine, digits, jsonText, table } from "../../bench/output.ts";
import { summaryText } from "../../bench/sample.ts";
import { roofline } from "../../gpu/roofline.ts";
import { chartSvg } from "../../report/render.ts";
import { writeFileAtomically } from "../../storage/atomic-file.ts";
import { makeFolder } from "../../storage/folder.ts";
import { UsageError } from "../../support/errors.ts";
import { formatPercent } from "../../support/format.ts";
import { type BenchFlags, openForBench, saveTable, withBenchOptions } from "../bench-options.ts";
import { wholeNumber } from "../options.ts";

/** Batch sizes: the paper's, and one that takes a CPU milliseconds. */
const BATCH = { hardware: 4096, software: 256 };

interface GhostFlags extends BenchFlags {
  readonly batchSize?: number;
  readonly out?: string;
}

export function benchGhostCommand(): Command {
  const command = new Command("gbn")
    .description(
      "cost of ghost batch norm by ghost size: unfused, fused and ghost by ghost, beside a roofline model",
    )
    .addOption(
      new Option(
        "--batch-size <images>",
        `a power of two (default: ${BATCH.hardware}; ${BATCH.software} on a software adapter)`,
      ).argParser(wholeNumber(8)),
    )
    .addOption(
      new Option("--out <folder>", "write gbn.csv, gbn.json, gbn.svg and the figure's gbn.vl.json there"),
    );
  return withBenchOptions(command, 15).action(run);
}

async function run(flags: GhostFlags): Promise<void> {
  const { batchSize: wanted } = flags;
  if (wanted !== undefined && !Number.isInteger(Math.log2(wanted))) {
    throw new UsageError(
      `--batch-size ${wanted}: expected a power of two, so that the ghost sizes 8, 16, 32, … divide it`,
    );
  }
  const gpu = await openForBench(flags);
  const batch = wanted ?? BATCH[gpu.adapter.software ? "software" : "hardware"];
  const limits = await roofline(gpu);
  const rows: GhostRow[] = [];
  const options = { batch, shapes: GHOST_SHAPES, ghostSizes: ghostSizesUpTo(batch), n: flags.n };
  for await (const part of benchGhostCost(gpu, options)) {
    rows.push(...part);
    if (!flags.json) console.log(`\n${ghostTable(part)}`);
  }
  const verdicts = verdictsOf(rows, batch);
  const result = { batch, roofline: limits, rows, verdicts };
  if (flags.json) console.log(jsonText(gpu.adapter, result));
  else console.log(`\n${[ABOVE_COPY, ...verdicts.map(({ text }) => text)].join("\n")}`);
  if (flags.out !== undefined) {
    const figure = ghostFigure(gpu.adapter, rows);
    await makeFolder(flags.out);
    const svg = `<!-- ${adapterLine(gpu.adapter)} -->\n${await chartSvg(figure)}\n`;
    await write(flags.out, "gbn.csv", ghostCsv(gpu.adapter, rows));
    await write(flags.out, "gbn.json", jsonText(gpu.adapter, result));
    await write(flags.out, "gbn.vl.json", JSON.stringify(figure, null, 2));
    await write(flags.out, "gbn.svg", svg);
  }
  await saveTable(
    gpu,
    flags,
    "bench gbn",
    `${ghostTable(rows)}\n\n${ABOVE_COPY}\n\n${verdicts.map(({ text }) => `- ${text}`).join("\n")}`,
  );
}

/** Explains a share above 1. */
const ABOVE_COPY =
  "Of copy: the time of a copy of the bytes that the pass must move, divided by the time of the pass. It exceeds 100 % if a later " +
  "dispatch of the pass finds data in a cache that an earlier one wrote; the copy never does.";

function ghostTable(rows: readonly GhostRow[]): string {
  const head = [
    "shape",
    "variant",
    "direction",
    "ghost",
    "dispatches",
    "B/element",
    "median (quartiles)",
    "model ms",
    "GB/s",
    "of copy",
  ];
  const cells = rows.map((row) => {
    const { variant, direction, ms } = row;
    const counts = [row.ghostSize, row.dispatches].map(String);
    const rates = [row.modelMs, row.gigabytesPerSecond].map(digits);
    const bytes = digits(row.bytesPerElement);
    return [
      shapeText(row),
      variant,
      variant === COPY ? "" : direction,
      ...counts,
      bytes,
      summaryText(ms),
      ...rates,
      formatPercent(row.copyShare, 0),
    ];
  });
  return table(head, cells, 3);
}

/**
 * Checks the cost of ghosts: at 128 images at most 1.1 times that of the whole batch, and at least 60 % of a copy's
 * bandwidth. (For a smaller batch: at a sixteenth of it.)
 */
function verdictsOf(rows: readonly GhostRow[], batch: number) {
  const size = batch > 128 ? 128 : Math.max(8, batch / 16);
  const of = (shape: string, direction: string, ghostSize: number) =>
    rows.find(
      (row) =>
        row.variant === "fused" &&
        shapeText(row) === shape &&
        row.direction === direction &&
        row.ghostSize === ghostSize,
    )!;
  return [...new Set(rows.map(shapeText))].flatMap((shape) =>
    (["forward", "backward"] as const).map((direction) => {
      const [ghost, whole] = [of(shape, direction, size), of(shape, direction, batch)];
      const ratio = ghost.ms.median / whole.ms.median;
      const holds = ratio <= 1.1 && ghost.copyShare >= 0.6;
      const text = `${shape} ${direction}, fused: ghost ${size} takes ${digits(ratio)} of the whole batch's time (1.1 allowed) at ${formatPercent(ghost.copyShare, 0)} of a copy's bandwidth (60 % asked): ${holds ? "holds" : "does not hold"}`;
      return { shape, direction, ghostSize: size, ratio, copyShare: ghost.copyShare, holds, text };
    }),
  );
}

async function write(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  await writeFileAtomically(path, text);
  console.error(`wrote ${path}`);
}
