/** Prints Tables 1 and 2. */
import Table from "cli-table3";
import { columnTitle, type Row } from "../paper/columns.ts";
import { describeScale, type Scale } from "../paper/scale.ts";
import type { Cell } from "../paper/table-report.ts";
import { formatCount, formatDuration, formatPercent, formatQuantity } from "../support/format.ts";

/** A fraction of initial running statistics below this is printed as 0.0 %. */
const SHOWN_SHARE = 0.0005;

export function printTable(
  kind: string,
  rows: Readonly<Record<string, Row>>,
  scale: Scale,
  cells: readonly Cell[],
): void {
  for (const name of new Set(cells.map((cell) => cell.row))) {
    const { network, dataset } = rows[name]!;
    console.log(
      `\n${kind === "table1" ? "Table 1" : "Table 2"}, ${network} on ${dataset}: ${describeScale(scale)}; test accuracy in percent`,
    );
    console.log(cellsTable(cells.filter(({ row }) => row === name)));
  }
  if (cells.some(({ reused }) => reused)) console.log("* finished earlier, not run again");
  console.log(
    `run folders:\n${cells
      .flatMap(({ folders }) => folders)
      .map((folder) => `  ${folder}`)
      .join("\n")}`,
  );
}

/** One row of the paper's table, a line per method. */
function cellsTable(cells: readonly Cell[]): string {
  const withReestimated = cells.some(({ reestimated }) => reestimated !== null);
  const withRetained = cells.some(({ retainedStatistics }) => (retainedStatistics ?? 0) >= SHOWN_SHARE);
  const head = [
    "method",
    "accuracy",
    ...(withReestimated ? ["re-estimated"] : []),
    ...(withRetained ? ["initial statistics left"] : []),
    "best",
    "paper (full scale)",
    "‖w−w₀‖ first",
    "‖w−w₀‖ all",
    "steps",
    "samples",
    "FLOP",
    "time",
  ];
  const table = new Table({
    head,
    style: { head: [], border: [], compact: true },
    colAligns: ["left", ...new Array<"right">(head.length - 1).fill("right")],
  });
  for (const cell of cells) {
    const { reestimated, retainedStatistics } = cell;
    table.push([
      columnTitle(cell.column),
      meanAndSpread(cell, cell.n),
      ...(withReestimated ? [reestimated ? meanAndSpread(reestimated, cell.n) : ""] : []),
      ...(withRetained ? [retainedStatistics === null ? "" : formatPercent(retainedStatistics, 1)] : []),
      cell.best.toFixed(2),
      cell.paper?.toFixed(2) ?? "",
      cell.distanceFirst.toFixed(2),
      cell.distanceAll.toFixed(2),
      formatCount(cell.steps),
      formatCount(cell.samples),
      formatQuantity(cell.flops, "FLOP"),
      formatDuration(cell.seconds) + (cell.reused ? " *" : ""),
    ]);
  }
  return table.toString();
}

function meanAndSpread({ mean, std }: { mean: number; std: number }, n: number): string {
  return `${mean.toFixed(2)}${n > 1 ? ` ± ${std.toFixed(2)} (n=${n})` : ""}`;
}
