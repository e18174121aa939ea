// The table of run options: what it accepts, how options are written, and that the names of runs do not change.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { givenOptions, trainFlags } from "../../src/cli/train-options.ts";
import { type Column, cellSpec } from "../../src/paper/columns.ts";
import { ROWS } from "../../src/paper/table1.ts";
import { readConfig, specOfRun } from "../../src/run/config-file.ts";
import { flagOf, keyOf, writtenOption } from "../../src/run/option-names.ts";
import { Refusal } from "../../src/run/option-values.ts";
import { planRun } from "../../src/run/plan-run.ts";
import { summaryOf } from "../../src/run/resume.ts";
import { RUN_OPTION_KEYS, runOption } from "../../src/run/run-options.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { RunSummary } from "../../src/run/run-summary.ts";
import { specHash } from "../../src/run/spec-hash.ts";
import { trainerOptions } from "../../src/run/trainer-options.ts";
import { UsageError } from "../../src/support/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-options-"));
afterAll(() => rmSync(folder, { recursive: true }));

function configured(text: string) {
  const path = join(folder, "config.yaml");
  writeFileSync(path, text);
  return readConfig(path);
}

describe("hashes match existing run folders", () => {
  test.each([
    ["SB", "3ad3e5a7afb8"],
    ["LB", "1a755a2ff5ec"],
    ["LR", "96a2437fc7ae"],
    ["GBN", "55c10b8df914"],
    ["RA", "ddf9f1ba03d5"],
  ] as const)("Table 1, F1, small, %s", (column: Column, hash) => {
    expect(specHash(cellSpec(ROWS.f1!, { column, scale: "small", seed: 0 }))).toBe(hash);
  });

  test("a run with Keskar's topology has the hash from when the option was called variant", () => {
    // Computed with the key `variant`, before the option was renamed.
    expect(specHash(completeSpec({ model: "c1", dataset: "cifar10", topology: "keskar" }))).toBe(
      "5981954d0b48",
    );
  });
});

test.each(RUN_OPTION_KEYS.map((key) => [key]))(
  "%s: its default is valid, and values are read as written",
  (key) => {
    const { value, unit } = runOption(key);
    const fallback = completeSpec({})[key];
    if (fallback !== undefined && fallback !== null) {
      expect(value.read(fallback)).toEqual(fallback);
      if (unit !== undefined) expect(value.parse(value.write(fallback))).toEqual(fallback);
    }
    for (const choice of Object.keys(value.choices ?? {})) expect(value.parse(choice)).toBe(choice);
    for (const wrong of [undefined, [], {}, Number.NaN, -1, ""])
      expect(value.read(wrong)).toBeInstanceOf(Refusal);
    // The flag, and the names that a file may use.
    expect(trainFlags().map(({ long }) => long)).toContain(flagOf(key));
    for (const word of [key, key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)])
      expect(keyOf(word)).toBe(key);
  },
);

test("precision and loss scale are part of a run's hash, and a scale needs mixed precision", () => {
  const hashOf = (given: Parameters<typeof completeSpec>[0]) => specHash(completeSpec(given));
  expect(hashOf({ precision: "f32" })).toBe(hashOf({}));
  const hashes = [{}, { precision: "mixed" }, { precision: "mixed", lossScale: 1 }] as const;
  expect(new Set(hashes.map(hashOf)).size).toBe(3);
  expect(() => completeSpec({ lossScale: 3 })).toThrow(
    "lossScale: expected a power of two from 1 to 16777216, found 3",
  );
  const facts = { name: "d", classes: 10, channels: 1, height: 28, width: 28, count: 1000 };
  expect(() => planRun(completeSpec({ lossScale: 64 }), facts)).toThrow(
    "--loss-scale: only with --precision mixed; gradients in f32 need no scale",
  );
  const options = (given: object) => trainerOptions(planRun(completeSpec(given), facts)).lossScale;
  expect([{}, { precision: "mixed" }, { precision: "mixed", lossScale: 2 }].map(options)).toEqual([
    1,
    2 ** 13,
    2,
  ]);
});

test("a configuration may write options like flags, in kebab-case and in snake_case", () => {
  expect(configured("lr: 0.1\nlrRule: sqrt\nlrReferenceBatch: 32\n")).toEqual({
    learningRate: 0.1,
    learningRateRule: "sqrt",
    referenceBatchSize: 32,
  });
  expect(configured("batch-size: 64\nghost_size: 16\n--lr-rule: sqrt\nsubset: 100,50\n")).toEqual({
    batchSize: 64,
    ghostSize: 16,
    learningRateRule: "sqrt",
    subset: { train: 100, test: 50, seed: 0 },
  });
});

test.each([
  ["seed: 1\nlr: 0.1\nlearningRate: 0.2", ":3: learningRate: sets the same option as lr; keep one of them"],
  ["learnrate: 0.1", ":1: learnrate: unknown option"],
  ["learningrate: 0.1", ":1: learningrate: unknown option; did you mean learningRate?"],
  ["lrReferenceBach: 32", ":1: lrReferenceBach: unknown option; did you mean referenceBatchSize?"],
  ["no-augmentation: true", ":1: no-augmentation: unknown option; did you mean augmentation: false?"],
  ["variant: keskar", ":1: variant: this option is now called topology"],
  [
    "partial: exakt",
    ':1: partial: expected one of authors, exact, drop, wrap, found "exakt"; did you mean exact?',
  ],
  ["momentum: 1", ":1: momentum: expected a number of at least 0 and below 1, found 1"],
  ["- seed", ':1: expected options, as in "batchSize: 64", found ["seed"]'],
])("a configuration of %j is refused", (text, message) => {
  expect(() => configured(text)).toThrow(UsageError);
  expect(() => configured(text)).toThrow(`config.yaml${message}`);
});

test("a run's record from before an option was renamed is read; an incomplete one is damaged", () => {
  const path = join(folder, "config.yaml");
  const record = "dataset: cifar10\nmodel: c1\nbatchSize: 128\nbaseRegime: c1\nreferenceBatchSize: 128\n";
  writeFileSync(path, `${record}variant: keskar\n`);
  expect(specOfRun(folder)).toEqual(completeSpec({ dataset: "cifar10", model: "c1", topology: "keskar" }));
  writeFileSync(path, record.replace(/model.*\n/, ""));
  expect(() => specOfRun(folder)).toThrow("config.yaml: damaged: model is missing");
});

test("a summary from before ghostSize got its name is read", async () => {
  const zeros = Object.keys(RunSummary.shape)
    .filter((name) => name !== "ghostSize")
    .map((name) => [name, 0]);
  writeFileSync(
    join(folder, "summary.json"),
    JSON.stringify({ ...Object.fromEntries(zeros), batchNormGroup: 7 }),
  );
  expect(await summaryOf(folder)).toMatchObject({ ghostSize: 7 });
});

test("messages write an option as a user writes it", () => {
  expect([
    writtenOption("augmentation", false),
    writtenOption("augmentation", true),
    writtenOption("batchGrowth", true),
    writtenOption("constantRate", false),
    writtenOption("batchSize", 64),
    writtenOption("ghostSize", null),
    writtenOption("learningRateRule", "sqrt"),
    writtenOption("subset", { train: 10, test: 5, seed: 0 }),
  ]).toEqual([
    "--no-augmentation",
    "augmentation: true",
    "--batch-growth",
    "constantRate: false",
    "--batch-size 64",
    "ghostSize: null",
    "--lr-rule sqrt",
    "--subset 10,5",
  ]);
});

test("flags override the file; a switch that is on by default counts only if it is turned off", () => {
  const path = join(folder, "base.yaml");
  writeFileSync(path, "augmentation: false\nbatchSize: 64\nseed: 5\n");
  const flags = { config: path, runsDir: "runs", augmentation: true, batchSize: 32 };
  expect(givenOptions(flags)).toEqual({ augmentation: false, batchSize: 32, seed: 5 });
  expect(givenOptions({ runsDir: "runs", augmentation: false, lr: 0.5 })).toEqual({
    augmentation: false,
    learningRate: 0.5,
  });
});
