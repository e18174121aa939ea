/** All runs as one tidy table: a line per run with its options, its outcome, and where it was made. */
import type { RunData } from "../storage/read-run.ts";

type Cell = string | number | boolean | null | undefined;

/**
 * CSV (RFC 4180) with a header; a run's missing values are empty. Options are named as in config.yaml,
 * with a dot for nested ones (subset.train); outcomes as in summary.json, after "result.".
 */
export function runsCsv(runs: readonly RunData[]): string {
  const lines = runs.map(lineOf);
  const columns = [...new Set(lines.flatMap((line) => [...line.keys()]))];
  const rows = [columns, ...lines.map((line) => columns.map((column) => line.get(column)))];
  return `${rows.map((row) => row.map(cellText).join(",")).join("\r\n")}\r\n`;
}

function lineOf({ name, configuration, environment, summary, evaluations }: RunData): Map<string, Cell> {
  const { adapter, started, command, versions } = environment;
  return new Map<string, Cell>([
    ["run", name],
    ["finished", summary !== null],
    ...flat("", configuration),
    ...flat("result.", summary ?? {}),
    ["lastTestAccuracy", evaluations.at(-1)?.["testAccuracy"]],
    ["adapter", adapter?.name],
    ["version", versions?.["ghostbatch"]],
    ["started", started],
    ["command", command],
  ]);
}

function flat(start: string, values: Readonly<Record<string, unknown>>): [string, Cell][] {
  return Object.entries(values).flatMap(([key, value]): [string, Cell][] =>
    typeof value === "object" && value !== null
      ? flat(`${start}${key}.`, value as Record<string, unknown>)
      : [[start + key, value as Cell]],
  );
}

function cellText(value: Cell): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
