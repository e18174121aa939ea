import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { syntheticDataset } from "../../src/data/synthetic.ts";
import { dataFingerprint } from "../../src/run/data-fingerprint.ts";
import { newestUnfinishedRun, requireSameOptions } from "../../src/run/resume.ts";
import { RUN_OPTION_KEYS } from "../../src/run/run-options.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { finishedRun } from "../../src/run/runner.ts";
import { specHash } from "../../src/run/spec-hash.ts";
import { UsageError } from "../../src/support/errors.ts";
import { BASE_REGIMES } from "../../src/train/base-regimes.ts";

const written = (key: string, value: unknown) => `--${key} ${JSON.stringify(value)}`;

test("every option given again with another value is refused by name, and accepted with the run's own value", () => {
  const stored = completeSpec({
    dataset: "mnist",
    batchSize: 64,
    learningRate: 0.1,
    subset: { train: 10, test: 5, seed: 0 },
  });
  expect(() => requireSameOptions(stored, {}, written)).not.toThrow();
  expect(() => requireSameOptions(stored, stored, written)).not.toThrow();
  // Every option there is, so that a new one is refused as well.
  for (const key of RUN_OPTION_KEYS) {
    const given = { [key]: "something else" } as never;
    expect(() => requireSameOptions(stored, given, written), key).toThrow(UsageError);
    expect(() => requireSameOptions(stored, given, written), key).toThrow(
      `--${key} "something else": this run was started with `,
    );
  }
  expect(() => requireSameOptions(stored, { width: 10 }, written)).toThrow(
    "--width 10: this run was started with none",
  );
});

test("an explicit option with the default value is accepted", () => {
  const regime = BASE_REGIMES.f1;
  const stored = completeSpec({ batchSize: 64 });
  const same = { learningRate: regime.entries[0].learningRate!, epochs: regime.epochs, ghostSize: 64 };
  expect(() => requireSameOptions(stored, same, written)).not.toThrow();
  for (const [key, value] of Object.entries(same)) {
    expect(() => requireSameOptions(stored, { [key]: value / 2 }, written)).toThrow(
      `--${key} ${value / 2}: `,
    );
    // The other way round: the run has another value, and the default is given.
    const explicit = completeSpec({ batchSize: 64, [key]: value / 2 });
    expect(() => requireSameOptions(explicit, { [key]: value }, written)).toThrow(`--${key} ${value}: `);
  }
});

test("the fingerprint of data changes with any label, the size, and the images", () => {
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

test("a damaged summary of another experiment is skipped with a warning", async () => {
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
  for (const line of lines) expect(line).toMatch(/^warning: .*summary\.json: .*: skipping this run$/);
  rmSync(runsDirectory, { recursive: true });
});
