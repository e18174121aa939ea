// Tables of reports, from run folders that the tests write: what they show and what they leave out.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { channel } from "../../src/report/charts.ts";
import { parseRecord } from "../../src/report/experiment-record.ts";
import { type Report, reportExperiment, reportRuns } from "../../src/report/report.ts";
import { runsCsv } from "../../src/report/runs-csv.ts";
import { readRun } from "../../src/storage/read-run.ts";
import { record, series } from "../support/made-record.ts";
import { type MadeRun, makeRun as makeRunIn } from "../support/made-run.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

const makeRun = (run: MadeRun) => makeRunIn(folder, run);
/** The data of a chart. */
const values = ({ spec }: Report["charts"][number]) =>
  (spec["data"] as { values: { source: string; x: number; y: number | null }[] }).values;
const pathOf = (name: string) => join(folder, name);
describe("tables", () => {
  test("mean and standard deviation over seeds beside the paper's number, with n, scale, adapter and choices", async () => {
    for (const seed of [0, 1, 2]) makeRun({ name: `seed-${seed}`, seed });
    const { markdown, problems, charts } = await reportExperiment(
      record("table1", [
        series("SB", ["seed-0", "seed-1", "seed-2"], { paper: 98.27, group: "F1 on MNIST" }),
      ]),
      pathOf,
    );
    expect(problems).toEqual([]);
    expect(markdown).toContain("| F1 on MNIST | SB | 98.27 | 95.30 ± 1.00 | 3 |");
    expect(markdown).toContain("- scale: small");
    expect(markdown).toContain("adapter: test \\<adapter\\>");
    expect(markdown).toContain("model: f1");
    expect(markdown).toContain("- a note");
    expect(charts.map(({ name }) => name)).toEqual(["accuracy"]);
  });

  test("choices are readable, an accuracy axis ends at 100 %, and no column is empty", async () => {
    for (const [name, batchSize] of [
      ["chosen-a", 32],
      ["chosen-b", 64],
    ] as const)
      makeRun({
        name,
        seed: 0,
        configuration: {
          batchSize,
          subset: { seed: 0, train: 4096, test: 500 },
          ghostSize: batchSize === 32 ? null : 8,
        },
      });
    const { markdown } = await reportRuns(["chosen-a", "chosen-b"].map(pathOf));
    expect(markdown).toContain("subset: seed 0, train 4096, test 500");
    expect(markdown).toContain("ghostSize (default, 8)");
    expect(markdown).not.toMatch(/\{|null|undefined/);
    expect(markdown.split("\n").filter((line) => line.startsWith("|") && /\|\s*\|/.test(line))).toEqual([]);
    const scaleOf = (...values: number[]) => channel("y", { title: "", most: 100 }, values).scale;
    expect(scaleOf(54, 96)).toMatchObject({ domain: [expect.closeTo(52, 0), 100], nice: false });
    expect(scaleOf(10, 60)).not.toHaveProperty("domain");
  });

  test("the CSV of all runs: one line each, missing values empty, texts quoted", async () => {
    makeRun({ name: "csv", seed: 3, configuration: { dataset: 'a "b", c' } });
    const runs = [await readRun(pathOf("csv")), await readRun(pathOf("chosen-b"))];
    const [head, ...lines] = runsCsv(runs).trimEnd().split("\r\n");
    const columns = head!.split(",");
    expect(columns.slice(0, 2)).toEqual(["run", "finished"]);
    expect(lines[0]).toContain('"a ""b"", c"');
    const cells = lines[1]!.split(",");
    const of = (column: string) => cells[columns.indexOf(column)];
    expect(["run", "batchSize", "subset.train", "ghostSize", "result.steps"].map(of)).toEqual([
      "chosen-b",
      "64",
      "4096",
      "8",
      "200",
    ]);
    expect(cells).toHaveLength(columns.length);
  });

  test("the share of initial running statistics, and the re-estimated accuracy, are beside each cell", async () => {
    for (const seed of [0, 1]) {
      makeRun({
        name: `lr-${seed}`,
        seed,
        summary: { retainedStatistics: 0.43, reestimatedAccuracy: 96 + seed },
      });
      makeRun({ name: `gbn-${seed}`, seed, summary: { retainedStatistics: 1e-9, reestimatedAccuracy: 97 } });
    }
    const cells = record("table1", [series("+LR", ["lr-0", "lr-1"]), series("+GBN", ["gbn-0", "gbn-1"])]);
    const { markdown } = await reportExperiment(cells, pathOf);
    expect(markdown).toContain("| test accuracy (%) | re-estimated (%) | initial statistics left | n |");
    expect(markdown).toContain("| +LR | 94.80 ± 0.71 | 96.50 ± 0.71 | 43.0 % | 2 |");
    expect(markdown).toContain("| +GBN | 94.80 ± 0.71 | 97.00 ± 0.00 | 0.0 % | 2 |");
    const single = await reportRuns([pathOf("lr-0")]);
    expect(single.markdown).toContain("| 94.30 | 96.00 | 43.0 % | 1 |");
    makeRun({ name: "damaged-summary", summary: { reestimatedAccuracy: "96" } });
    const damaged = reportExperiment(record("table1", [series("+LR", ["damaged-summary"])]), pathOf);
    await expect(damaged).rejects.toThrow(/summary\.json: damaged: .*reestimatedAccuracy is "96"/);
  });

  test("runs with different choices are not averaged", async () => {
    makeRun({ name: "other-batch", batchSize: 64, seed: 1 });
    const { markdown, problems } = await reportExperiment(
      record("table1", [series("SB", ["seed-0", "other-batch"])]),
      pathOf,
    );
    expect(problems.join()).toMatch(/not averaged: batchSize is 32 in seed-0 and 64 in other-batch/);
    expect(markdown).toContain("| 94.30 | 1 |");
    expect(markdown).toContain("not averaged");
  });

  test("runs that differ only in the seed are one line and one curve; for the others the report names the differences", async () => {
    makeRun({ name: "wide-batch", batchSize: 64 });
    const table = {
      ...record("table1", [series("SB", ["seed-0", "seed-1"], { paper: 98.27 })]),
      scale: "full",
    };
    const runs = ["seed-0", "seed-1", "wide-batch", "seed-0"].map(pathOf);
    const { markdown, charts, problems } = await reportRuns(runs, [table]);
    expect(markdown).toContain("| 98.27 | 94.80 ± 0.71 | 2 | 94.90 ± 0.71 | full | 32 | 32 | 0, 1 |");
    expect(markdown).toContain("the others differ in: batchSize (32, 64)");
    expect(problems).toEqual([]);
    const accuracy = charts.find(({ name }) => name === "test-accuracy")!;
    expect(accuracy.caption).toContain("n = 1 to 2 seeds");
    const legend = values(accuracy).map((datum) => (datum as unknown as { series: string }).series);
    expect([...new Set(legend)]).toEqual(["seed-0 + 1 more", "wide-batch"]);
    const named = ["table1-f1-SB-small-seed0-0123456789ab", "table1-f1-SB-small-seed1-0123456789ac"];
    const paths = named.map((name, seed) => makeRun({ name, seed }));
    paths.push(makeRun({ name: "table1-f1-LB-small-seed0-0123456789ad", batchSize: 64 }));
    expect((await reportRuns(paths)).markdown).toContain("\n| SB-small |");
    const first = values(accuracy)[0] as unknown as { low: number; y: number; high: number };
    expect(first.high - first.low).toBeCloseTo(Math.SQRT2, 6);
  });

  test("a warning says if averaged runs have different adapters or the same seed", async () => {
    makeRun({ name: "elsewhere", seed: 1, adapter: "another" });
    makeRun({ name: "again" });
    const mixed = await reportExperiment(record("table1", [series("SB", ["seed-0", "elsewhere"])]), pathOf);
    expect(mixed.problems.join()).toMatch(
      /different adapters.*seed-0 on test <adapter>, elsewhere on another/,
    );
    expect(mixed.markdown).toContain("| adapters differ |");
    expect((await reportRuns(["seed-0", "elsewhere"].map(pathOf))).problems.join()).toMatch(
      /different adapters/,
    );
    const twice = await reportExperiment(record("table1", [series("SB", ["seed-0", "again"])]), pathOf);
    expect(twice.problems.join()).toMatch(/seed 0 occurs more than once/);
  });

  test("unfinished and damaged runs are named and left out", async () => {
    makeRun({ name: "unfinished", finished: false });
    makeRun({ name: "damaged" });
    writeFileSync(join(folder, "damaged", "summary.json"), "{");
    const runs = ["seed-0", "unfinished", "damaged", "absent"];
    const { problems } = await reportExperiment(record("table1", [series("SB", runs)]), pathOf);
    expect(problems).toHaveLength(3);
    expect(problems[0]).toMatch(/unfinished: not finished/);
    expect(problems[1]).toMatch(/damaged.*summary\.json: damaged/);
    expect(problems[2]).toMatch(/absent.*skipping/);
    await expect(reportExperiment(record("table1", [series("SB", ["absent"])]), pathOf)).rejects.toThrow(
      /none of its runs has finished/,
    );
    await expect(reportRuns([pathOf("absent")])).rejects.toThrow(/cannot show any of the runs/);
  });

  test("a summary without its numbers counts as damaged: the run is named and left out of the mean", async () => {
    for (const [name, summary] of Object.entries({ empty: {}, "accuracy-alone": { accuracy: 1 } })) {
      makeRun({ name, seed: 1 });
      writeFileSync(join(folder, name, "summary.json"), JSON.stringify(summary));
    }
    const runs = ["seed-0", "empty", "accuracy-alone"];
    const { markdown, problems } = await reportExperiment(record("table1", [series("SB", runs)]), pathOf);
    expect(markdown).toContain("| 94.30 | 1 |");
    expect(problems[0]).toMatch(/empty\/summary\.json: damaged: .*accuracy is missing.*skipping/);
    expect(problems[1]).toMatch(/accuracy-alone\/summary\.json: damaged: .*but best is missing/);
    expect((await reportRuns(["seed-0", "empty"].map(pathOf))).problems).toHaveLength(1);
    await expect(reportRuns([pathOf("accuracy-alone")])).rejects.toThrow(/cannot show any of the runs/);
  });

  test("an invalid record is an error with its file and what is wrong", () => {
    const whole = record("figure4", [], []);
    const parse = (value: unknown) => () => parseRecord(JSON.stringify(value), "x.experiment.json");
    expect(parse(whole)).not.toThrow();
    expect(() => parseRecord("{", "x.experiment.json")).toThrow(
      /x\.experiment\.json: damaged: expected JSON/,
    );
    expect(parse({})).toThrow(/not an experiment record/);
    expect(parse({ ...whole, data: null })).toThrow(/x\.experiment\.json: data: not an experiment record/);
    expect(parse({ ...whole, data: [{}] })).toThrow(/data: .*0\.kind/);
    expect(parse({ ...whole, series: [{ name: "SB" }] })).toThrow(/series\.0\.group/);
    const { runs: _, ...withoutRuns } = series("SB", []);
    expect(parse({ ...whole, series: [withoutRuns] })).toThrow(/series\.0\.runs/);
  });
});
