// Records of experiments as the verbs write them.
import type { ExperimentRecord } from "../../src/report/experiment-record.ts";

export function record(kind: string, series: ExperimentRecord["series"], data?: unknown): ExperimentRecord {
  return {
    format: 1,
    kind,
    id: `${kind}-test`,
    title: `${kind} of a test`,
    command: "ghostbatch reproduce",
    scale: "small",
    notes: ["a note"],
    series,
    ...(data !== undefined && { data }),
  };
}

export const series = (
  name: string,
  runs: string[],
  more: Partial<ExperimentRecord["series"][number]> = {},
) => ({
  name,
  group: "a",
  batchSize: 32,
  paper: null,
  runs,
  ...more,
});
