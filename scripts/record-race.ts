// Makes the recorded race of the playground from real runs:
// ghostbatch reproduce table1 --rows f1 --scale small --seeds 0 --runs-dir RUNS-DIR, then
// node --import tsx scripts/record-race.ts RUNS-DIR
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { COLUMNS, columnTitle } from "../src/paper/columns.ts";
import { parseRecord, RECORD_SUFFIX } from "../src/report/experiment-record.ts";
import { readRun } from "../src/storage/read-run.ts";
import { newTracks } from "../src/web/tracks.ts";

const [runsDirectory] = process.argv.slice(2);
if (!runsDirectory)
  throw new Error("expected the runs directory of reproduce table1 --rows f1 --scale small --seeds 0");
const recordPath = join(runsDirectory, `table1-small${RECORD_SUFFIX}`);
const { series } = parseRecord(readFileSync(recordPath, "utf8"), recordPath);

const DIGITS = 5;
const rounded = (values: readonly number[]) => values.map((value) => Number(value.toPrecision(DIGITS)));

const tracks: Record<string, object> = {};
const totalSteps: Record<string, number> = {};
const adapters = new Set<string>();
const versions = new Set<string>();
let seed: unknown;
for (const column of COLUMNS) {
  const name = series.find((one) => one.name === columnTitle(column))?.runs[0];
  if (name === undefined) throw new Error(`${recordPath}: no run of ${columnTitle(column)}`);
  const run = await readRun(join(runsDirectory, name));
  const batch = Number(run.configuration["batchSize"]);
  seed = run.configuration["seed"];
  adapters.add(run.environment.adapter?.name ?? "unknown");
  versions.add(run.environment.versions?.["ghostbatch"] ?? "unknown");
  const curves = newTracks();
  const point = (step: number, value: number) => ({ step, samples: step * batch, value });
  for (const { step, loss, distanceAll } of run.training) {
    curves.loss.add(point(step!, loss!));
    if (Number.isFinite(distanceAll)) curves.distance.add(point(step!, distanceAll));
  }
  for (const { step, testAccuracy } of run.evaluations) curves.accuracy.add(point(step!, testAccuracy!));
  totalSteps[column] = run.summary!["steps"]!;
  tracks[column] = Object.fromEntries(
    Object.entries(curves).map(([curve, { steps, values }]) => [curve, { steps, values: rounded(values) }]),
  );
}
const only = (set: Set<string>) => [...set].join(" and ");
const recorded = { adapter: only(adapters), version: only(versions), seed, totalSteps, tracks };
writeFileSync(
  new URL("../src/web/recorded-race.json", import.meta.url),
  `${JSON.stringify(recorded, null, 2).replaceAll(/\[[^[\]]*\]/g, (list) => list.replaceAll(/\s+/g, ""))}\n`,
);
