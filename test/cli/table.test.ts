// What `reproduce table1` prints of finished cells: running statistics, and another large batch.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type Column, cellSpec, type Row, withLargeBatch } from "../../src/paper/columns.ts";
import { ROWS } from "../../src/paper/table1.ts";
import { specHash } from "../../src/run/spec-hash.ts";
import { runProgram } from "../support/program.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-table-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A finished cell of Table 1's first row at small scale. */
function makeCell(column: Column, seed: number, summary: object, reestimateStatistics = 0): void {
  makeRun(ROWS.f1!, `table1-f1-${column}`, { column, seed, reestimateStatistics }, summary);
}

function makeRun(
  row: Row,
  label: string,
  choice: { column: Column; seed: number; reestimateStatistics?: number },
  summary: object,
): void {
  const spec = cellSpec(row, { ...choice, scale: "small" });
  const path = join(folder, `${label}-small-seed${choice.seed}-${specHash(spec)}`);
  mkdirSync(path, { recursive: true });
  const counts = { steps: 8, skippedSteps: 0, samples: 8192, flops: 1e9, ghostSize: 32, slabSamples: 1024 };
  const times = { seconds: 1, setupSeconds: 1, imagesPerSecond: 8192, dispatchesPerStep: 40, gpuBytes: 1e6 };
  const found = { best: 90, bestStep: 8, lastFive: 90, testLoss: 0.1, distanceFirst: 1, distanceAll: 2 };
  writeFileSync(join(path, "summary.json"), JSON.stringify({ ...counts, ...times, ...found, ...summary }));
}

async function table(...words: string[]): Promise<string> {
  const options = ["--rows", "f1", "--columns", "LR,GBN", "--scale", "small", "--seeds", "0,1"];
  const ended = await runProgram(["reproduce", "table1", ...options, "--runs-dir", folder, ...words]);
  expect(ended).toMatchObject({ code: 0, stderr: "" });
  return ended.stdout;
}

/** Cells of a printed line. */
const cells = (text: string, method: string) =>
  text
    .split("\n")
    .find((line) => line.includes(` ${method} `))!
    .split("│")
    .map((cell) => cell.trim());

test("the table shows the share of the initial statistics if any cell has few steps, with a note below", async () => {
  for (const seed of [0, 1]) {
    makeCell("LR", seed, { accuracy: 80 + seed, retainedStatistics: 0.9 ** 8 });
    makeCell("GBN", seed, { accuracy: 90, retainedStatistics: 0.9 ** 256 });
  }
  const text = await table();
  expect(cells(text, "method").slice(1, 5)).toEqual([
    "method",
    "accuracy",
    "initial statistics left",
    "best",
  ]);
  expect(cells(text, "+LR").slice(2, 4)).toEqual(["80.50 ± 0.71 (n=2)", "43.0 %"]);
  expect(cells(text, "+GBN").slice(2, 4)).toEqual(["90.00 ± 0.00 (n=2)", "0.0 %"]);
  expect(text).toMatch(/^initial statistics left: .* \(--reestimate-statistics adds/m);
});

test("--reestimate-statistics adds a second accuracy, from its own runs; the JSON has both", async () => {
  for (const seed of [0, 1]) {
    makeCell("LR", seed, { accuracy: 80, reestimatedAccuracy: 91 + seed, retainedStatistics: 0.43 }, 16);
    makeCell("GBN", seed, { accuracy: 90, reestimatedAccuracy: 92, retainedStatistics: 0 }, 16);
  }
  const text = await table("--reestimate-statistics", "16");
  expect(cells(text, "+LR").slice(2, 5)).toEqual(["80.00 ± 0.00 (n=2)", "91.50 ± 0.71 (n=2)", "43.0 %"]);
  expect(cells(text, "+GBN").slice(2, 5)).toEqual(["90.00 ± 0.00 (n=2)", "92.00 ± 0.00 (n=2)", "0.0 %"]);
  expect(text).toMatch(
    /^re-estimated: accuracy with running statistics replaced by their mean over 16 training/m,
  );
  const { rows } = JSON.parse(await table("--reestimate-statistics", "16", "--json"));
  expect(rows[0].cells.LR).toMatchObject({
    mean: 80,
    reestimated: { accuracy: [91, 92], mean: 91.5, std: expect.closeTo(Math.SQRT1_2, 12) },
    retained_statistics: 0.43,
  });
});

test("without either the table is as published", async () => {
  rmSync(folder, { recursive: true });
  for (const seed of [0, 1]) {
    makeCell("LR", seed, { accuracy: 80 });
    makeCell("GBN", seed, { accuracy: 90, retainedStatistics: 1e-5 });
  }
  const text = await table();
  expect(cells(text, "method").slice(1, 4)).toEqual(["method", "accuracy", "best"]);
  expect(text).not.toMatch(/statistics/);
});

test("--large-batch trains other cells, but the same small batch, and leaves out what was published for other batches", async () => {
  rmSync(folder, { recursive: true });
  const row = withLargeBatch(ROWS.f1!, 256, "small");
  makeCell("SB", 0, { accuracy: 95 });
  makeCell("GBN", 0, { accuracy: 94 }); // at the row's own 1024: another run
  makeRun(row, "table1-f1-256-GBN", { column: "GBN", seed: 0 }, { accuracy: 94.5 });
  const options = ["--columns", "SB,GBN", "--seeds", "0", "--large-batch", "256"];
  const text = await table(...options);
  expect(text).toContain("Table 1, F1, batch 256 on MNIST");
  expect(cells(text, "SB").slice(2, 5)).toEqual(["95.00", "90.00", "98.27"]);
  expect(cells(text, "+GBN").slice(2, 5)).toEqual(["94.50", "90.00", ""]);
  expect(text).toMatch(/^F1, batch 256: .*, batches of 32 and 256$/m);
  expect(text).toMatch(/^large batch of 256; /m);
  expect(existsSync(join(folder, "table1-small-batch-256.experiment.json"))).toBe(true);
  expect(JSON.parse(await table(...options, "--json")).rows[0].cells.GBN).toMatchObject({
    mean: 94.5,
    paper: null,
  });
});

test("--large-batch must be above the small batch", async () => {
  const ended = await runProgram(["reproduce", "table1", "--rows", "f1", "--large-batch", "32"]);
  expect(ended).toMatchObject({ code: 2, stdout: "" });
  expect(ended.stderr).toBe(
    "error: --large-batch 32: expected more than the small batch of F1 at this scale, 32\n",
  );
});
