/** A report from run folders: Markdown, charts and one page. A pure function of the folders' contents; no GPU. */
import type { RunData } from "../storage/read-run.ts";
import { DataError, GhostbatchError, messageOf } from "../support/errors.ts";
import type { Chart, Illustration } from "./charts.ts";
import { readCheckedRun } from "./checked-run.ts";
import type { ExperimentRecord } from "./experiment-record.ts";
import { illustrate } from "./figure-charts.ts";
import { choicesOf, differencesOf, resultsTable, runsTable } from "./markdown.ts";
import { codeSpan, escapeMarkdown } from "./markup.ts";
import { illustrateRuns } from "./run-charts.ts";
import { adaptersOf, adapterWarning, difference, groupRuns, seedWarning } from "./run-groups.ts";
import type { LoadedSeries } from "./series.ts";

export interface Report {
  /** The name of its folder. */
  readonly id: string;
  readonly title: string;
  readonly markdown: string;
  readonly charts: readonly Chart[];
  /** What was skipped, and why. */
  readonly problems: readonly string[];
}

/** @param pathOf returns a run's folder by its name */
export async function reportExperiment(
  record: ExperimentRecord,
  pathOf: (run: string) => string,
): Promise<Report> {
  const problems: string[] = [];
  const series: LoadedSeries[] = [];
  for (const entry of record.series) {
    const runs = await finishedRuns(entry.runs.map(pathOf), problems);
    const differing = difference(runs);
    if (differing !== null) {
      problems.push(
        `${entry.group} ${entry.name}: the runs are not averaged: ${differing}; showing only the first`.trim(),
      );
    }
    const loaded = differing === null ? runs : runs.slice(0, 1);
    problems.push(...warningsOf(loaded).map((text) => `${entry.group} ${entry.name}: ${text}`.trim()));
    series.push({ ...entry, loaded });
  }
  const shown = series.filter(({ loaded }) => loaded.length > 0);
  const runs = shown.flatMap(({ loaded }) => loaded);
  if (record.series.length > 0 && runs.length === 0)
    throw new DataError(
      `experiment ${record.id}: none of its runs has finished: ${problems.join("; ").replaceAll(SKIPPED, "")}`,
    );
  const illustration = withFileNames(illustrate(record, shown));
  const facts = [
    `- made by ${codeSpan(record.command)}`,
    ...[
      `scale: ${record.scale}`,
      ...(runs.length > 0
        ? [`adapter: ${adaptersOf(runs).join("; ")}`, `choices: ${choicesOf(runs).join("; ")}`]
        : [`adapter: ${record.adapter ?? "not recorded"}`]),
      ...record.notes,
    ].map(item),
  ];
  const markdown = compose(
    record.title,
    [
      ...resultsTable(record, shown).flatMap((line, i, { length }) =>
        i === length - 1 ? [line, ""] : [line],
      ),
      ...facts,
    ],
    illustration,
    problems,
  );
  return { id: record.id, title: record.title, markdown, charts: illustration.charts, problems };
}

/** @param records experiments to which the runs may belong: the source of a scale and the paper's numbers */
export async function reportRuns(
  folders: readonly string[],
  records: readonly ExperimentRecord[] = [],
): Promise<Report> {
  const problems: string[] = [];
  // A folder named twice is one run.
  const runs = await finishedRuns([...new Set(folders.map(withoutEnd))], problems);
  if (runs.length === 0)
    throw new DataError(`cannot show any of the runs: ${problems.join("; ").replaceAll(SKIPPED, "")}`);
  const groups = groupRuns(runs, records);
  for (const { name, loaded } of groups) {
    problems.push(...warningsOf(loaded).map((text) => `${name}: ${text}`));
  }
  const title = runs.length === 1 ? `Run ${runs[0]!.name}` : `${runs.length} runs`;
  const illustration = withFileNames(illustrateRuns(groups));
  const facts = [
    ...(groups.length > 1
      ? [`runs that differ only in the seed are averaged; the others differ in: ${differencesOf(runs)}`]
      : []),
    `adapter: ${adaptersOf(runs).join("; ")}`,
    `choices: ${choicesOf(runs).join("; ")}`,
  ].map(item);
  const markdown = compose(title, [...runsTable(groups), "", ...facts], illustration, problems);
  return {
    id: runs.length === 1 ? fileNameOf(runs[0]!.name) : "runs",
    title,
    markdown,
    charts: illustration.charts,
    problems,
  };
}

/** A path without the slash that completion of file names appends. */
function withoutEnd(path: string): string {
  return path.replace(/(?<=.)\/+$/, "");
}

/** End of a note on a run that a report leaves out. */
const SKIPPED = "; skipping this run";

async function finishedRuns(paths: readonly string[], problems: string[]): Promise<RunData[]> {
  const runs: RunData[] = [];
  for (const path of paths) {
    try {
      const run = await readCheckedRun(path);
      if (run.summary !== null) runs.push(run);
      else problems.push(`${path}: not finished${SKIPPED}`);
    } catch (error) {
      if (!(error instanceof GhostbatchError)) throw error;
      problems.push(`${messageOf(error)}${SKIPPED}`);
    }
  }
  return runs;
}

/** Warnings about runs whose mean is shown. */
function warningsOf(runs: readonly RunData[]): string[] {
  return [adapterWarning(runs), seedWarning(runs)].filter((warning) => warning !== null);
}

function item(text: string): string {
  return `- ${escapeMarkdown(text)}`;
}

/** Gives charts unique file names; names of a record's groups may be anything. */
function withFileNames({ charts, text }: Illustration): Illustration {
  const taken = new Set<string>();
  const named = charts.map((chart) => {
    const base = fileNameOf(chart.name);
    let name = base;
    for (let i = 2; taken.has(name); i++) name = `${base}-${i}`;
    taken.add(name);
    return { ...chart, name };
  });
  return { charts: named, text };
}

/** A text with only characters that every file system allows in names. */
function fileNameOf(text: string): string {
  return (
    text
      .replaceAll(/[^\w.+=@,-]+/g, "-")
      .replace(/^\.+/, "")
      .slice(0, 100) || "report"
  );
}

function compose(
  title: string,
  table: readonly string[],
  { charts, text }: Illustration,
  problems: readonly string[],
): string {
  const warnings = problems.length === 0 ? [] : ["", "**Skipped runs and notes**", "", ...problems.map(item)];
  // Two spaces end a line in Markdown.
  const images = charts.flatMap(({ name, title: chartTitle, caption }) => [
    "",
    `![${escapeMarkdown(chartTitle)}](${name}.svg)  `,
    escapeMarkdown(caption),
  ]);
  return [
    `# ${escapeMarkdown(title)}`,
    "",
    ...table,
    ...warnings,
    ...images,
    ...(text.length > 0 ? ["", ...text] : []),
    "",
  ].join("\n");
}
