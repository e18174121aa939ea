// The cost of a checkpoint: the extra time of a run of the paper's F1 for each one, as a share of the default interval between
// two checkpoints.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { GpuSession } from "../../src/host/node/gpu-session.ts";
import { type CheckpointOptions, DEFAULT_CHECKPOINTS } from "../../src/run/checkpointer.ts";
import { METRIC_COLUMNS } from "../../src/run/metric-lines.ts";
import { prepareRun } from "../../src/run/prepare.ts";
import { runInFolder } from "../../src/run/run-in-folder.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { CheckpointFolder } from "../../src/storage/checkpoint-file.ts";
import { RunFolder } from "../../src/storage/run-folder.ts";
import { limitMs } from "../support/limits.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-cost-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const STEPS = 30;
const REPETITIONS = 3;

test(
  "a checkpoint of the paper's F1 costs less than 2 % of the default interval",
  async () => {
    const session = new GpuSession();
    const environment = { command: "test", git: null, versions: {}, adapter: null };
    const spec = completeSpec({
      dataset: "synthetic:1x28x28:10:2048:64",
      batchSize: 64,
      ghostSize: 32,
      maxSteps: STEPS,
      epochs: 1000,
      evaluateEvery: 1000,
    });
    let runs = 0;
    const run = async (checkpoints: CheckpointOptions) => {
      const prepared = await prepareRun(spec);
      const folder = await RunFolder.claim({
        runsDirectory,
        name: `run-${runs++}`,
        configuration: spec,
        environment,
        columns: METRIC_COLUMNS,
      });
      const taken = new Set<number>();
      const onProgress = async () => {
        for (const { step } of await new CheckpointFolder(folder.path).list("last")) taken.add(step);
      };
      const { seconds } = await runInFolder(session, prepared, folder, {
        checkpoints,
        logEvery: 1,
        onProgress: () => void onProgress(),
        report: () => undefined,
      });
      return { seconds, taken: taken.size };
    };
    await run({ every: { steps: 1 }, keep: 2 }); // compiles, and fills the caches of the disk
    const costs: number[] = [];
    let step = 0;
    for (let i = 0; i < REPETITIONS; i++) {
      const without = await run({ every: { steps: Number.POSITIVE_INFINITY }, keep: 2 });
      const within = await run({ every: { steps: 1 }, keep: 2 });
      expect(within.taken).toBeGreaterThan(2);
      costs.push(Math.max(0, (within.seconds - without.seconds) / within.taken));
      step = without.seconds / STEPS;
    }
    costs.sort((a, b) => a - b);
    const cost = costs[Math.floor(REPETITIONS / 2)]!;
    const { every } = DEFAULT_CHECKPOINTS;
    const interval = "seconds" in every ? every.seconds : every.steps * step;
    console.log(
      `a checkpoint of 1,462,794 parameters costs ${(1000 * cost).toFixed(0)} ms (median of ${REPETITIONS}), a step ${(1000 * step).toFixed(0)} ms: ${((100 * cost) / interval).toFixed(3)} % at an interval of ${interval} s`,
    );
    expect(cost / interval).toBeLessThan(0.02);
  },
  limitMs(600_000),
);
