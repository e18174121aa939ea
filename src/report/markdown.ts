/** Tables of results in Markdown: our numbers beside the paper's, and how they were obtained. */
import { modelLabel } from "../models/index.ts";
import type { RunData } from "../storage/read-run.ts";
import { formatCount, formatDuration, formatPercent, formatQuantity } from "../support/format.ts";
import { mean, standardDeviation } from "../support/statistics.ts";
import type { ExperimentRecord } from "./experiment-record.ts";
import { escapeMarkdown } from "./markup.ts";
import { adaptersOf, differences } from "./run-groups.ts";
import type { LoadedSeries, RunGroup } from "./series.ts";

function cell(text: string): string {
  return escapeMarkdown(text).replaceAll("|", "\\|");
}

/** @param rows plain text */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(" | ")} |`;
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)];
}

/** The same, without columns that are empty in all rows. */
function tableOfResults(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const isShown = head.map((_, i) => rows.some((cells) => cells[i] !== ""));
  const shown = (cells: readonly string[]) => cells.filter((_, i) => isShown[i]);
  return markdownTable(shown(head), rows.map(shown));
}

/** "95.52 ± 0.21", or one number for one run. */
export function meanAndSpread(values: readonly number[], digits = 2): string {
  if (values.length === 0) return "no run";
  const center = mean(values).toFixed(digits);
  return values.length === 1 ? center : `${center} ± ${standardDeviation(values).toFixed(digits)}`;
}

/** A fraction of initial running statistics below this is printed as 0.0 %. */
const SHOWN_SHARE = 0.0005;

/** Columns about the running statistics of an accuracy; none if all are as published and nothing of the initial ones is left. */
function statisticsColumns(all: readonly RunData[]) {
  const columns = [
    {
      title: "re-estimated (%)",
      key: "reestimatedAccuracy",
      isShown: () => true,
      text: (values: number[]) => meanAndSpread(values),
    },
    {
      title: "initial statistics left",
      key: "retainedStatistics",
      isShown: (share: number) => share >= SHOWN_SHARE,
      text: (values: number[]) => formatPercent(mean(values), 1),
    },
  ];
  const valuesOf = (runs: readonly RunData[], key: string) =>
    runs.flatMap(({ summary }) => summary?.[key] ?? []);
  const shown = columns.filter(({ key, isShown }) => valuesOf(all, key).some(isShown));
  return {
    head: shown.map(({ title }) => title),
    cells: (runs: readonly RunData[]) =>
      shown.map(({ key, text }) => {
        const values = valuesOf(runs, key);
        return values.length === 0 || values.length < runs.length ? "" : text(values);
      }),
  };
}

/** Rows of the table: each series with its accuracy, the paper's, and its cost. */
export function resultsTable(record: ExperimentRecord, series: readonly LoadedSeries[]): string[] {
  if (series.length === 0) return [];
  const isTable = record.kind.startsWith("table");
  const withPaper = series.some(({ paper }) => paper !== null);
  const statistics = statisticsColumns(series.flatMap(({ loaded }) => loaded));
  const head = [
    isTable ? "network" : "panel",
    isTable ? "method" : "curve",
    ...(withPaper ? ["paper (%)"] : []),
    "test accuracy (%)",
    ...statistics.head,
    "n",
    "‖w−w₀‖ first",
    "‖w−w₀‖ all",
    "ghosts of",
    "steps",
    "samples",
    "FLOP",
    "time",
  ];
  const rows = series.map(({ name, group, paper, loaded }) => {
    const of = (key: string) => loaded.map(({ summary }) => summary![key] ?? Number.NaN);
    const first = (key: string) => of(key)[0] ?? Number.NaN;
    const count = (key: string) => (loaded.length === 0 ? "" : formatCount(first(key)));
    return [
      group,
      name,
      ...(withPaper ? [paper?.toFixed(2) ?? ""] : []),
      meanAndSpread(of("accuracy")),
      ...statistics.cells(loaded),
      String(loaded.length),
      meanAndSpread(of("distanceFirst")),
      meanAndSpread(of("distanceAll")),
      count("ghostSize"),
      count("steps"),
      count("samples"),
      loaded.length === 0 ? "" : formatQuantity(first("flops"), "FLOP"),
      durationOf(loaded),
    ];
  });
  return tableOfResults(head, rows);
}

/** Options of the runs that interest readers and are the same in all. */
const CHOICES = [
  "dataset",
  "subset",
  "augmentation",
  "mirroring",
  "model",
  "width",
  "hidden",
  "gamma",
  "baseRegime",
  "epochScale",
  "partial",
  "runningRule",
  "reestimateStatistics",
  "momentumReset",
  "clipNorm",
  "referenceBatchSize",
] as const;

export function choicesOf(runs: readonly RunData[]): string[] {
  const inWordsOf = (key: string) => (value: unknown) =>
    key === "model" ? modelLabel(String(value)) : inWords(value);
  return CHOICES.flatMap((key) => {
    const values = new Map(
      runs.map(({ configuration }) => [JSON.stringify(configuration[key]), configuration[key]]),
    );
    const given = [...values.values()].filter((value) => value !== undefined && value !== null);
    if (given.length === 0) return [];
    const words = given.length <= 3 ? given.map(inWordsOf(key)).join(", ") : `${given.length} different`;
    return [`${key}: ${words}`];
  });
}

/** Options in which runs differ, with their values, so that nobody mistakes them for one setting. */
export function differencesOf(runs: readonly RunData[]): string {
  return [...differences(runs)]
    .map(([key, values]) => `${key} (${values.map((value) => inWords(parsed(value))).join(", ")})`)
    .join("; ");
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value; // "undefined", for a run without the option
  }
}

/** An option's value for readers: "train 4096, test 5000" for an object, a word for one that is not set. */
function inWords(value: unknown): string {
  if (value === null || value === undefined || value === "undefined") return "default";
  if (typeof value === "boolean") return value ? "on" : "off";
  if (typeof value !== "object") return String(value);
  return Object.entries(value)
    .map(([key, inner]) => `${key} ${inWords(inner)}`)
    .join(", ");
}

/** Mean over runs, but not of times on different adapters. */
function durationOf(runs: readonly RunData[]): string {
  if (runs.length === 0) return "";
  if (adaptersOf(runs).length > 1) return "adapters differ";
  return formatDuration(mean(runs.map(({ summary }) => summary!["seconds"]!)));
}

/** Runs without an experiment: a line per setting. */
export function runsTable(groups: readonly RunGroup[]): string[] {
  const withPaper = groups.some(({ paper }) => paper !== null);
  const statistics = statisticsColumns(groups.flatMap(({ loaded }) => loaded));
  const head = [
    "runs",
    ...(withPaper ? ["paper (%)"] : []),
    "test accuracy (%)",
    ...statistics.head,
    "n",
    "best (%)",
    "scale",
    "batch",
    "ghosts of",
    "seeds",
    "steps",
    "samples",
    "FLOP",
    "time",
    // If it is the same for all, it is below the table.
    "adapter",
  ];
  const adapters = adaptersOf(groups.flatMap(({ loaded }) => loaded));
  const rows = groups.map(({ name, loaded, paper, scale }) => {
    const [{ configuration, summary }] = loaded as [RunData];
    const of = (key: string) => loaded.map((run) => run.summary![key]!);
    return [
      loaded.length === 1 ? loaded[0]!.name : name,
      ...(withPaper ? [paper?.toFixed(2) ?? ""] : []),
      meanAndSpread(of("accuracy")),
      ...statistics.cells(loaded),
      String(loaded.length),
      meanAndSpread(of("best")),
      scale ?? "",
      String(configuration["batchSize"]),
      String(configuration["ghostSize"] ?? configuration["batchSize"]),
      loaded.map((run) => String(run.configuration["seed"])).join(", "),
      formatCount(summary!["steps"]!),
      formatCount(summary!["samples"]!),
      formatQuantity(summary!["flops"]!, "FLOP"),
      durationOf(loaded),
      adapters.length === 1 ? "" : adaptersOf(loaded).join("; "),
    ];
  });
  return tableOfResults(head, rows);
}
