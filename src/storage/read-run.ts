// Reads a run's results, for reports, which need no GPU.

import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { parseJson } from "../support/damage.ts";
import { DataError } from "../support/errors.ts";
import { fileError } from "./file-error.ts";
import { withCurrentNames } from "./run-folder.ts";
import { readTextFile } from "./text-file.ts";

/** One line of metrics: numbers by column. Missing or non-numeric values are NaN, a gap in a chart. */
export type MetricNumbers = Readonly<Record<string, number>>;

export interface RunData {
  /** Name of the folder. */
  readonly name: string;
  readonly path: string;
  /** The specification, as stored in the folder. */
  readonly configuration: Readonly<Record<string, unknown>>;
  readonly environment: {
    readonly command?: string;
    readonly adapter?: { readonly name?: string; readonly software?: boolean };
    readonly versions?: Readonly<Record<string, string>>;
    readonly started?: string;
  };
  readonly training: readonly MetricNumbers[];
  readonly evaluations: readonly MetricNumbers[];
  /** Null for a run that has not finished. */
  readonly summary: Readonly<Record<string, number>> | null;
}

/** @throws DataError naming the file that is missing or damaged */
export async function readRun(path: string): Promise<RunData> {
  requireRunFolder(path);
  const configuration = parsed(join(path, "config.yaml"), parsedYaml);
  const environment = parsed(join(path, "environment.json"), parseJson);
  const rows = readMetrics(join(path, "metrics.jsonl"));
  const summaryFile = join(path, "summary.json");
  const summary = existsSync(summaryFile) ? parsed(summaryFile, parseJson) : null;
  return {
    name: basename(path),
    path,
    configuration: configuration as RunData["configuration"],
    environment: environment as RunData["environment"],
    training: rows.filter(({ kind }) => kind === "train").map(({ numbers }) => numbers),
    evaluations: rows.filter(({ kind }) => kind === "evaluation").map(({ numbers }) => numbers),
    summary: withCurrentNames(summary) as RunData["summary"],
  };
}

/** Names of the folders in a runs directory that look like runs, sorted; none if the directory does not exist. */
export async function listRuns(runsDirectory: string): Promise<string[]> {
  if (!existsSync(runsDirectory)) return [];
  const entries = await readdir(runsDirectory, { withFileTypes: true }).catch((cause) => {
    throw fileError(cause, "read", runsDirectory);
  });
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => name)
    .filter((name) => existsSync(join(runsDirectory, name, "config.yaml")))
    .sort();
}

/** One line of metrics.jsonl; null for one without a step, or an incomplete one, as the last line of a running run may be. */
export function parseMetricLine(line: string): { kind: string; numbers: MetricNumbers } | null {
  let row: Record<string, unknown>;
  try {
    row = JSON.parse(line) as Record<string, unknown>;
  } catch {
    return null;
  }
  if (row === null || typeof row !== "object" || typeof row["step"] !== "number") return null;
  const { kind, ...values } = row;
  const numbers = Object.entries(values).map(([key, value]) => [
    key,
    typeof value === "number" ? value : Number.NaN,
  ]);
  return { kind: String(kind), numbers: Object.fromEntries(numbers) as MetricNumbers };
}

function readMetrics(path: string) {
  const lines = readTextFile(path)
    .split("\n")
    .filter((line) => line !== "");
  return lines.flatMap((line, i) => {
    const row = parseMetricLine(line);
    if (row !== null) return [row];
    if (i === lines.length - 1) return [];
    throw new DataError(
      `${path}: line ${i + 1} is damaged: expected JSON with a step; delete the folder to run it again`,
    );
  });
}

/** @throws DataError for a path that is not the folder of a run */
export function requireRunFolder(path: string): void {
  if (existsSync(join(path, "config.yaml"))) return;
  const what = existsSync(path) ? "not a run folder: config.yaml is missing" : "no such folder";
  throw new DataError(`${path}: ${what}; expected the folder of a run, such as runs/NAME`);
}

function parsedYaml(text: string, path: string): unknown {
  try {
    return parse(text);
  } catch (cause) {
    throw new DataError(`${path}: damaged: expected YAML; restore the file, or run it again`, { cause });
  }
}

function parsed(path: string, parser: (text: string, path: string) => unknown): unknown {
  const value = parser(readTextFile(path), path);
  if (value !== null && typeof value === "object") return value;
  throw new DataError(`${path}: damaged: expected named values, found ${JSON.stringify(value)}`);
}
