// --reestimate-statistics in whole runs: what it adds, and that a run stopped anywhere ends with the same bits.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { RunControl } from "../../src/run/run-control.ts";
import type { RunSpecInput } from "../../src/run/run-spec.ts";
import type { RunSummary } from "../../src/run/run-summary.ts";
import { decodeSafetensors } from "../../src/storage/safetensors.ts";
import { StoppedError } from "../../src/support/errors.ts";
import { FolderRuns } from "../support/folder-runs.ts";
import { outcome } from "../support/kills.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-reestimation-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));
const runs = new FolderRuns(runsDirectory);

/** Eight steps of plain batch norm: 0.9⁸ of the initial running statistics are left. */
const FEW = { dataset: "synthetic:1x7x7:4:160:200", batchSize: 80, ghostSize: 80, maxSteps: 8 } as const;

/** An epoch of 52 steps of 8, then epochs of 11 steps of 40: stages that end at steps 52, 55 and 58. */
const GROWING = {
  dataset: "synthetic:1x7x7:4:410:40",
  batchSize: 8,
  ghostSize: 4,
  baseRegime: "f1-small",
  epochs: undefined,
  epochScale: 0.125,
  evaluateEvery: 1,
  maxSteps: undefined,
  batchGrowth: true,
} as const;

async function finished(name: string, given: RunSpecInput): Promise<{ path: string; summary: RunSummary }> {
  const { path, done } = await runs.start(name, given);
  return { path, summary: await done };
}

function weights(path: string): Map<string, string> {
  const file = join(path, "weights.safetensors");
  const { tensors } = decodeSafetensors(readFileSync(file), file);
  return new Map([...tensors].map(([name, { data }]) => [name, Array.from(data, String).join()]));
}

function lines(path: string): { kind: string; testAccuracy: number | null }[] {
  const text = readFileSync(join(path, "metrics.jsonl"), "utf8").trimEnd();
  return text.split("\n").map((line) => ({ ...JSON.parse(line), imagesPerSecond: 0 }));
}

test("adds an accuracy, a line of metrics and new running statistics, and changes nothing else", async () => {
  const without = await finished("without", FEW);
  const both = await finished("both", { ...FEW, reestimateStatistics: 2 });
  expect(without.summary.reestimatedAccuracy).toBeUndefined();
  for (const { accuracy, best, testLoss, retainedStatistics } of [without.summary, both.summary]) {
    const { summary } = without;
    expect([accuracy, best, testLoss]).toEqual([summary.accuracy, summary.best, summary.testLoss]);
    expect(retainedStatistics).toBeCloseTo(0.9 ** 8, 12);
  }
  const added = lines(both.path);
  expect(added.slice(0, -1)).toEqual(lines(without.path));
  expect(added.at(-1)).toMatchObject({
    kind: "reestimated",
    step: 8,
    testAccuracy: both.summary.reestimatedAccuracy,
  });
  // 43 % of the published running statistics are still the initial ones.
  expect(both.summary.reestimatedAccuracy).not.toBe(both.summary.accuracy);
  const [before, after] = [weights(without.path), weights(both.path)];
  expect([...after.keys()]).toEqual([...before.keys()]);
  for (const [name, values] of after) {
    if (/running_(mean|var)$/.test(name)) expect(values, name).not.toBe(before.get(name));
    else expect(values, name).toBe(before.get(name));
  }
});

test.each([
  ["one batch size", { ...FEW, reestimateStatistics: 3 }, { steps: 8, slabSamples: 80 }, [3, 8]],
  [
    "a batch that grows",
    { ...GROWING, reestimateStatistics: 4 },
    { steps: 58, slabSamples: 40 },
    [11, 53, 58],
  ],
] as const)(
  "%s: stopped in between and after the last step, it ends with the same bits",
  async (title, spec, size, stops) => {
    const undisturbed = await finished(`${title} undisturbed`.replaceAll(" ", "-"), spec);
    expect(undisturbed.summary).toMatchObject(size);
    expect(undisturbed.summary.reestimatedAccuracy).toBeGreaterThanOrEqual(0);
    const stopping = (at: number) => {
      const control = new RunControl();
      const onProgress = ({ step }: { step: number }) => {
        if (step >= at) control.requestStop({ by: "test", exitCode: 99 });
      };
      return { control, onProgress, logEvery: 1 };
    };
    const [first, ...others] = stops;
    const run = await runs.start(`${title} stopped`.replaceAll(" ", "-"), spec, stopping(first));
    await expect(run.done).rejects.toThrow(StoppedError);
    for (const at of others)
      await expect(runs.goOn(run, stopping(at))).rejects.toThrow(`after step ${at} of`);
    await runs.goOn(run);
    expect(outcome(run.path)).toBe(outcome(undisturbed.path));
  },
);
