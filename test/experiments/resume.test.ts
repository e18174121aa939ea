import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { syntheticDataset } from "../../src/data/synthetic.ts";
import { completeSpec } from "../../src/experiments/complete-spec.ts";
import { dataFingerprint } from "../../src/experiments/data-fingerprint.ts";
import { newestUnfinishedRun, requireSameOptions } from "../../src/experiments/resume.ts";
import { RunSpec, type RunSpecInput, specHash } from "../../src/experiments/run-spec.ts";
import { finishedRun } from "../../src/experiments/runner.ts";
import { UsageError } from "../../src/support/errors.ts";

const nameOf = (key: string) => `--${key}`;

test("every option of a run that is given again with another value is refused by name, and taken with its own", () => {
  const stored = completeSpec({
    dataset: "mnist",
    batchSize: 64,
    learningRate: 0.1,
    subset: { train: 10, test: 5, seed: 0 },
  });
  expect(() => requireSameOptions(stored, {}, nameOf)).not.toThrow();
  expect(() => requireSameOptions(stored, stored, nameOf)).not.toThrow();
  // Other values for all there are, so that an option that is added is refused as well.
  for (const key of Object.keys(RunSpec.shape) as (keyof RunSpecInput)[]) {
    const given = { [key]: "something else" } as Partial<RunSpecInput>;
    expect(() => requireSameOptions(stored, given, nameOf), key).toThrow(UsageError);
    expect(() => requireSameOptions(stored, given, nameOf), key).toThrow(
      `--${key} "something else": the run has `,
    );
  }
  expect(() => requireSameOptions(stored, { width: 10 }, nameOf)).toThrow("--width 10: the run has unset");
});

test("the fingerprint of data tells any label, any size, and changes of images", () => {
  const make = (seed: number, train = 300) =>
    syntheticDataset({ classes: 4, channels: 3, height: 32, width: 32, train, test: 10, seed });
  const data = make(1);
  const original = dataFingerprint(data);
  expect(dataFingerprint(make(1))).toBe(original);
  expect(dataFingerprint(make(2))).not.toBe(original);
  expect(dataFingerprint(make(1, 299))).not.toBe(original);
  const labels = data.train.labels.slice();
  labels[250] = (labels[250]! + 1) % 4;
  expect(dataFingerprint({ ...data, train: { ...data.train, labels } })).not.toBe(original);
});

test("a damaged outcome of another experiment is left out, and told", async () => {
  const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-outcomes-"));
  const lines: string[] = [];
  const report = (line: string) => lines.push(line);
  const spec = completeSpec({ seed: 77 });
  const folder = join(runsDirectory, `other-seed77-${specHash(spec)}`);
  mkdirSync(folder);
  for (const name of ["summary.json", "metrics.jsonl"]) writeFileSync(join(folder, name), "{");
  expect(await finishedRun(spec, "cell", runsDirectory, report)).toBeNull();
  await expect(newestUnfinishedRun(runsDirectory, report)).rejects.toThrow(UsageError);
  expect(lines).toHaveLength(2);
  for (const line of lines) expect(line).toMatch(/^warning: .*summary\.json: .*: this run is left out$/);
  rmSync(runsDirectory, { recursive: true });
});
