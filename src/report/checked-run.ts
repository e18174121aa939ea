/** Reads a run's folder, and checks that its summary, if any, has the numbers that reports show. */
import { type RunData, readRun } from "../storage/read-run.ts";
import { DataError } from "../support/errors.ts";

/** Numbers of a summary that every finished run has. */
const REQUIRED = ["accuracy", "best", "steps", "samples", "flops", "seconds", "ghostSize"] as const;
/** Those that are null if they overflowed, since JSON has no infinity. */
const NULLABLE = ["distanceFirst", "distanceAll"] as const;
/** Those that only some runs have. */
const OPTIONAL = ["reestimatedAccuracy", "retainedStatistics"] as const;

/** @throws DataError naming the missing or damaged file, and what is wrong with it */
export async function readCheckedRun(path: string): Promise<RunData> {
  const run = await readRun(path);
  if (run.summary === null) return run;
  const summary: Readonly<Record<string, unknown>> = run.summary;
  const damaged = [
    ...REQUIRED.filter((key) => !Number.isFinite(summary[key])),
    ...OPTIONAL.filter((key) => key in summary && !Number.isFinite(summary[key])),
    ...NULLABLE.filter((key) => summary[key] !== null && !Number.isFinite(summary[key])),
  ];
  if (damaged.length === 0) return run;
  const found = damaged.map((key) => `${key} is ${JSON.stringify(summary[key]) ?? "missing"}`).join(", ");
  throw new DataError(
    `${path}/summary.json: damaged: expected numbers, but ${found}; delete the folder to run it again`,
  );
}
