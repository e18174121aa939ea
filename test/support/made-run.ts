// Run folders like those of training, without training.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";

export interface MadeRun {
  readonly name: string;
  readonly batchSize?: number;
  readonly seed?: number;
  readonly finished?: boolean;
  readonly scale?: number;
  /** Steps without a loss. */
  readonly gap?: readonly number[];
  readonly steps?: number;
  /** An epoch has ten steps; from this step on the batch is a whole epoch. */
  readonly grownFrom?: number;
  readonly adapter?: string;
  /** More of the configuration. */
  readonly configuration?: object;
  /** More of the summary. */
  readonly summary?: object;
}

/** Writes a run's folder as training would: distance = scale · (1 + ln t), error falling to 5 %. */
export function makeRun(
  folder: string,
  {
    name,
    batchSize = 32,
    seed = 0,
    finished = true,
    scale = 1,
    gap = [],
    steps = 200,
    grownFrom = Number.POSITIVE_INFINITY,
    adapter = "test <adapter>",
    configuration = {},
    summary: more = {},
  }: MadeRun,
): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(
    join(path, "config.yaml"),
    stringify({
      dataset: "mnist",
      model: "f1",
      batchSize,
      ghostSize: null,
      seed,
      baseRegime: "f1-small",
      ...configuration,
    }),
  );
  writeFileSync(
    join(path, "environment.json"),
    JSON.stringify({
      command: "made by a test",
      adapter: { name: adapter },
      started: "2026-01-01T00:00:00Z",
    }),
  );
  const epochAt = (step: number) => Math.min(step, grownFrom) / 10 + Math.max(0, step - grownFrom);
  const rows: object[] = [];
  for (let step = 1; step <= steps; step++) {
    const loss = gap.includes(step) ? "NaN" : 2 / step;
    const distance = scale * (1 + Math.log(step));
    rows.push({
      kind: "train",
      step,
      epoch: epochAt(step),
      loss,
      accuracy: 95 - 50 / step,
      learningRate: 0.05,
      distanceFirst: distance,
      distanceAll: 2 * distance,
      imagesPerSecond: 1000,
    });
    if (step % 10 === 0)
      rows.push({
        kind: "evaluation",
        step,
        epoch: epochAt(step),
        testLoss: 1 / step,
        testAccuracy: 94.5 + seed - 40 / step,
      });
  }
  writeFileSync(join(path, "metrics.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const summary = {
    accuracy: 94.3 + seed,
    best: 94.4 + seed,
    steps,
    samples: epochAt(steps) * 10 * batchSize,
    flops: 1e9,
    seconds: 2,
    distanceFirst: 6,
    distanceAll: 12,
    ghostSize: batchSize,
    ...more,
  };
  if (finished) writeFileSync(join(path, "summary.json"), JSON.stringify(summary));
  return path;
}
