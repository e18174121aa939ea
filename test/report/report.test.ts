// Reports from run folders that are made here: what is shown, what is left out, and the page in a real browser.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, describe, expect, test } from "vitest";
import type { ExperimentRecord } from "../../src/report/experiment-record.ts";
import { parseRecord } from "../../src/report/experiment-record.ts";
import { reportPage } from "../../src/report/page.ts";
import { chartSvg, svgToPng } from "../../src/report/render.ts";
import { reportExperiment, reportRuns } from "../../src/report/report.ts";
import { CHROMIUM, openBrowser } from "../support/browser.ts";
import { type MadeRun, makeRun as makeRunIn } from "../support/made-run.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

function record(kind: string, series: ExperimentRecord["series"], data?: unknown): ExperimentRecord {
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

const makeRun = (run: MadeRun) => makeRunIn(folder, run);
const pathOf = (name: string) => join(folder, name);
const series = (name: string, runs: string[], more: Partial<ExperimentRecord["series"][number]> = {}) => ({
  name,
  group: "a",
  batchSize: 32,
  paper: null,
  runs,
  ...more,
});

describe("tables", () => {
  test("mean and deviation over seeds beside the paper's number, with n, scale, adapter, choices", async () => {
    for (const seed of [0, 1, 2]) makeRun({ name: `seed-${seed}`, seed });
    const { markdown, problems, charts } = await reportExperiment(
      record("table1", [
        series("SB", ["seed-0", "seed-1", "seed-2"], { paper: 98.27, group: "F1 on MNIST" }),
      ]),
      pathOf,
    );
    expect(problems).toEqual([]);
    expect(markdown).toContain("| F1 on MNIST | SB | 98.27 | 95.30 ± 1.00 | 3 | small |");
    expect(markdown).toContain("adapter: test <adapter>");
    expect(markdown).toContain("model: f1");
    expect(markdown).toContain("- a note");
    expect(charts.map(({ name }) => name)).toEqual(["accuracy"]);
  });

  test("runs that differ in a choice are not averaged", async () => {
    makeRun({ name: "other-batch", batchSize: 64, seed: 1 });
    const { markdown, problems } = await reportExperiment(
      record("table1", [series("SB", ["seed-0", "other-batch"])]),
      pathOf,
    );
    expect(problems.join()).toMatch(/not averaged: batchSize is 32 in seed-0 and 64 in other-batch/);
    expect(markdown).toContain("| 94.30 | 1 |");
    expect(markdown).toContain("not averaged");
  });

  test("unfinished and damaged runs are named and left out", async () => {
    makeRun({ name: "unfinished", finished: false });
    makeRun({ name: "damaged" });
    writeFileSync(join(folder, "damaged", "summary.json"), "{");
    const runs = ["seed-0", "unfinished", "damaged", "absent"];
    const { problems } = await reportExperiment(record("table1", [series("SB", runs)]), pathOf);
    expect(problems).toHaveLength(3);
    expect(problems[0]).toMatch(/unfinished: has not finished/);
    expect(problems[1]).toMatch(/damaged.*summary\.json: is damaged/);
    expect(problems[2]).toMatch(/absent.*left out/);
    await expect(reportExperiment(record("table1", [series("SB", ["absent"])]), pathOf)).rejects.toThrow(
      /none of its runs has finished/,
    );
    await expect(reportRuns([pathOf("absent")])).rejects.toThrow(/none of the runs can be shown/);
  });

  test("a summary without its numbers is damaged: the run is named and left out of the mean", async () => {
    for (const [name, summary] of Object.entries({ empty: {}, "accuracy-alone": { accuracy: 1 } })) {
      makeRun({ name, seed: 1 });
      writeFileSync(join(folder, name, "summary.json"), JSON.stringify(summary));
    }
    const runs = ["seed-0", "empty", "accuracy-alone"];
    const { markdown, problems } = await reportExperiment(record("table1", [series("SB", runs)]), pathOf);
    expect(markdown).toContain("| 94.30 | 1 |");
    expect(problems[0]).toMatch(/empty\/summary\.json: is damaged: .*accuracy is missing.*left out/);
    expect(problems[1]).toMatch(/accuracy-alone\/summary\.json: is damaged: .*found that best is missing/);
    expect((await reportRuns(["seed-0", "empty"].map(pathOf))).problems).toHaveLength(1);
    await expect(reportRuns([pathOf("accuracy-alone")])).rejects.toThrow(/none of the runs can be shown/);
  });

  test("a record that is none is an error that names its file and what is wrong", () => {
    const whole = record("figure4", [], []);
    const parse = (value: unknown) => () => parseRecord(JSON.stringify(value), "x.experiment.json");
    expect(parse(whole)).not.toThrow();
    expect(() => parseRecord("{", "x.experiment.json")).toThrow(/x\.experiment\.json: expected JSON/);
    expect(parse({})).toThrow(/is not the record/);
    expect(parse({ ...whole, data: null })).toThrow(/x\.experiment\.json: data: is not the record/);
    expect(parse({ ...whole, data: [{}] })).toThrow(/data: .*0\.kind/);
    expect(parse({ ...whole, series: [{ name: "SB" }] })).toThrow(/series\.0\.group/);
    const { runs: _, ...withoutRuns } = series("SB", []);
    expect(parse({ ...whole, series: [withoutRuns] })).toThrow(/series\.0\.runs/);
  });
});

describe("charts", () => {
  test("NaN in a metrics file is a gap, not a number", async () => {
    makeRun({ name: "with-gap", gap: [50, 51, 52] });
    const { charts } = await reportRuns([pathOf("with-gap")]);
    const loss = charts.find(({ name }) => name === "loss")!;
    const { values } = loss.spec["data"] as { values: { x: number; y: number | null }[] };
    expect(values.filter(({ y }) => y === null).map(({ x }) => x)).toEqual([50, 51, 52]);
    const svg = await chartSvg(loss.spec);
    const lines = [...svg.matchAll(/aria-roledescription="line mark".*? d="([^"]*)"/g)].map(
      ([, path]) => path!,
    );
    expect(lines.some((path) => (path.match(/M/g) ?? []).length === 2)).toBe(true);
    expect(svg).not.toContain("NaN");
  });

  test("figure 2: both panels on a logarithmic axis, the published curves dashed, fits or the reason for none", async () => {
    makeRun({ name: "long", steps: 2000 });
    makeRun({ name: "short", steps: 30 });
    const { charts, markdown } = await reportExperiment(
      record("figure2", [
        series("b=16", ["long"], { batchSize: 16 }),
        series("b=32", ["short"]),
        series("b=32", ["long"], { group: "b" }),
      ]),
      pathOf,
    );
    expect(charts.map(({ name }) => name)).toEqual(["distance-a", "distance-b"]);
    expect(markdown).toMatch(/\(a\) b=16 \| log/);
    expect(markdown).toMatch(/\(a\) b=32 \| a fit of the distance needs 6 points, there are \d/);
    const svg = await chartSvg(charts[0]!.spec);
    expect(svg).toContain("published (ResNet44, CIFAR-10)");
    expect(svg).toContain('stroke-dasharray="5,4"');
    expect(svg).toContain("iteration");
  });

  test("a PNG is drawn, with its text", async () => {
    const { charts } = await reportRuns([pathOf("seed-0")]);
    const svg = await chartSvg(charts[0]!.spec);
    const dark = (bytes: Uint8Array) => {
      const { data } = PNG.sync.read(Buffer.from(bytes));
      let count = 0;
      for (let i = 0; i < data.length; i += 4) if (data[i]! + data[i + 1]! + data[i + 2]! < 300) count++;
      return count;
    };
    const drawn = dark(await svgToPng(svg));
    const withoutText = dark(await svgToPng(svg.replaceAll(/<text[^>]*>[^<]*<\/text>/g, "")));
    expect(drawn - withoutText).toBeGreaterThan(1000);
  });
});

test.skipIf(!existsSync(CHROMIUM))(
  "the page opens from a file, draws every chart, and logs nothing",
  { timeout: 120_000 },
  async () => {
    const all = record("figure2", [
      series("b=16", ["long"], { batchSize: 16 }),
      series("b=32 <script>", ["long"], { group: "b" }),
    ]);
    const report = await reportExperiment(all, pathOf);
    const path = join(folder, "report.html");
    writeFileSync(path, await reportPage(report));
    expect(readFileSync(path, "utf8")).not.toMatch(/(src|href)="https?:/);
    const { page, errors, requests, close } = await openBrowser();
    try {
      await page.goto(`file://${path}`);
      await page.waitForFunction("document.body.dataset.drawn !== undefined");
      expect(await page.locator("canvas").count()).toBe(report.charts.length);
      expect(await page.locator("table").count()).toBe(2);
      // Something is drawn: pixels that are neither white nor transparent.
      const colored = await page.evaluate(`[...document.querySelectorAll("canvas")].map((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0 && data[i] + data[i + 1] + data[i + 2] < 600) count++;
      return count;
    })`);
      for (const count of colored as number[]) expect(count).toBeGreaterThan(2000);
      expect(errors).toEqual([]);
      expect(requests.filter((url) => !url.startsWith("file:") && !url.startsWith("data:"))).toEqual([]);
    } finally {
      await close();
    }
  },
);
