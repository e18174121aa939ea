import { readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { Command, Option } from "commander";
import { type ExperimentRecord, parseRecord, RECORD_SUFFIX } from "../../report/experiment-record.ts";
import { reportPage } from "../../report/page.ts";
import { chartSvg, svgToPng } from "../../report/render.ts";
import { type Report, reportExperiment, reportRuns } from "../../report/report.ts";
import { runsCsv } from "../../report/runs-csv.ts";
import { writeFileAtomically } from "../../storage/atomic-file.ts";
import { errorCode, fileError } from "../../storage/file-error.ts";
import { makeFolder } from "../../storage/folder.ts";
import { removeAbandonedFiles } from "../../storage/leftovers.ts";
import { listRuns, type RunData, readRun } from "../../storage/read-run.ts";
import { readTextFile } from "../../storage/text-file.ts";
import { suggestion } from "../../support/closest.ts";
import { DataError, messageOf, UsageError } from "../../support/errors.ts";
import { visible } from "../../support/visible.ts";
import { runsDirOption } from "../options.ts";

interface ReportFlags {
  experiment?: string;
  runsDir: string;
  out?: string;
  export?: "csv";
}

export function reportCommand(): Command {
  return new Command("report")
    .description(
      "write tables and figures of runs or an experiment: Markdown, SVG, PNG and one HTML page; needs no GPU",
    )
    .argument("[runs...]", "run folders (with --export, default: all in --runs-dir)")
    .addOption(
      new Option("--experiment <id>", "an experiment in --runs-dir, such as figure2 or figure2-f1-small"),
    )
    .addOption(runsDirOption())
    .addOption(new Option("--out <folder>", "output folder (default: reports/ID)"))
    .addOption(
      new Option(
        "--export <format>",
        "instead, print one table with a line per run: options, outcome, adapter; for pandas, R or a spreadsheet",
      ).choices(["csv"]),
    )
    .action(report);
}

async function report(folders: string[], flags: ReportFlags): Promise<void> {
  const { experiment, runsDir, out } = flags;
  if (flags.export !== undefined) return exportRuns(folders, flags);
  if ((experiment === undefined) === (folders.length === 0)) {
    throw new UsageError("report: expected either run folders or --experiment ID");
  }
  if (experiment === undefined) {
    const records = await recordsBeside(folders);
    return writeReport(await reportRuns(folders, records), out);
  }
  const known = await recordNames(runsDir);
  const chosen = known.filter((name) => name === experiment || name.startsWith(`${experiment}-`));
  if (chosen.length === 0) {
    const help =
      known.length === 0
        ? `${runsDir} contains none; run one with \`ghostbatch reproduce\` or \`measure\``
        : suggestion(experiment, known);
    throw new UsageError(`report: there is no experiment ${JSON.stringify(experiment)}: ${help}`);
  }
  if (chosen.length > 1 && !chosen.includes(experiment)) {
    throw new UsageError(
      `report: ${experiment} is one of ${chosen.join(", ")}, which differ in scale or network; name one`,
    );
  }
  const name = chosen.includes(experiment) ? experiment : chosen[0]!;
  const path = join(runsDir, `${name}${RECORD_SUFFIX}`);
  const record = parseRecord(readTextFile(path), path);
  if (record.id !== name)
    throw new DataError(`${path}: contains the record of ${record.id}; rename the file to match`);
  await writeReport(await reportExperiment(record, (run) => join(runsDir, run)), out);
}

/** Reports and skips runs that cannot be read. An unfinished run has no outcome in its line. */
async function exportRuns(
  folders: readonly string[],
  { experiment, runsDir, out }: ReportFlags,
): Promise<void> {
  for (const [option, value] of Object.entries({ experiment, out }))
    if (value !== undefined)
      throw new UsageError(
        `--${option} ${value}: has no effect with --export, which prints the table of runs`,
      );
  const all = folders.length > 0 ? folders : (await listRuns(runsDir)).map((name) => join(runsDir, name));
  const runs: RunData[] = [];
  for (const folder of new Set(all)) {
    try {
      runs.push(await readRun(folder));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      console.error(`warning: ${error.message}; skipping this run`);
    }
  }
  if (runs.length === 0)
    throw new DataError(
      folders.length > 0 ? "report: none of the runs can be read" : `report: ${runsDir} contains no runs`,
    );
  process.stdout.write(runsCsv(runs));
}

/** Experiments to which these runs may belong; unreadable ones are ignored. */
async function recordsBeside(folders: readonly string[]): Promise<ExperimentRecord[]> {
  const records: ExperimentRecord[] = [];
  for (const runsDir of new Set(folders.map((folder) => dirname(resolve(folder))))) {
    for (const name of await recordNames(runsDir)) {
      const path = join(runsDir, `${name}${RECORD_SUFFIX}`);
      try {
        records.push(parseRecord(readTextFile(path), path));
      } catch (error) {
        console.error(`warning: ${messageOf(error)}`);
      }
    }
  }
  return records;
}

async function recordNames(runsDir: string): Promise<string[]> {
  const names = await readdir(runsDir).catch((cause) => {
    if (errorCode(cause) === "ENOENT") return [];
    throw fileError(cause, "read", runsDir);
  });
  return names
    .filter((name) => name.endsWith(RECORD_SUFFIX))
    .map((name) => name.slice(0, -RECORD_SUFFIX.length))
    .sort();
}

async function writeReport(report: Report, out = join("reports", report.id)): Promise<void> {
  await makeFolder(out);
  await removeAbandonedFiles(out);
  const written: string[] = [];
  const write = async (name: string, content: string | Uint8Array) => {
    await writeFileAtomically(join(out, name), typeof content === "string" ? content : [content]);
    written.push(join(out, name));
  };
  await write("report.md", report.markdown);
  for (const { name, spec } of report.charts) {
    const svg = await chartSvg(spec);
    await write(`${name}.svg`, svg);
    await write(`${name}.png`, await svgToPng(svg));
    await write(`${name}.vl.json`, `${JSON.stringify(spec, null, 2)}\n`);
  }
  await write("report.html", await reportPage(report));
  for (const problem of report.problems) console.error(`warning: ${visible(problem)}`);
  for (const path of written) console.log(visible(path));
}
