// Reports from run folders that are made here: what is shown, what is left out, and the page in a real browser.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, describe, expect, test } from "vitest";
import { channel } from "../../src/report/charts.ts";
import { parseRecord } from "../../src/report/experiment-record.ts";
import { reportPage } from "../../src/report/page.ts";
import { chartSvg, svgToPng } from "../../src/report/render.ts";
import { type Report, reportExperiment, reportRuns } from "../../src/report/report.ts";
import { runsCsv } from "../../src/report/runs-csv.ts";
import { readRun } from "../../src/storage/read-run.ts";
import { hasChromium, openBrowser } from "../support/browser.ts";
import { record, series } from "../support/made-record.ts";
import { type MadeRun, makeRun as makeRunIn } from "../support/made-run.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

const makeRun = (run: MadeRun) => makeRunIn(folder, run);
/** What a chart draws. */
const values = ({ spec }: Report["charts"][number]) =>
  (spec["data"] as { values: { source: string; x: number; y: number | null }[] }).values;
const pathOf = (name: string) => join(folder, name);
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
    expect(markdown).toContain("| F1 on MNIST | SB | 98.27 | 95.30 ± 1.00 | 3 |");
    expect(markdown).toContain("- scale: small");
    expect(markdown).toContain("adapter: test \\<adapter\\>");
    expect(markdown).toContain("model: f1");
    expect(markdown).toContain("- a note");
    expect(charts.map(({ name }) => name)).toEqual(["accuracy"]);
  });

  test("choices are words, an accuracy's axis ends at 100 %, and no column is empty", async () => {
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
    expect(markdown).toContain("ghostSize \\(default, 8\\)".replaceAll("\\", ""));
    expect(markdown).not.toMatch(/\{|null|undefined/);
    expect(markdown.split("\n").filter((line) => line.startsWith("|") && /\|\s*\|/.test(line))).toEqual([]);
    const scaleOf = (...values: number[]) => channel("y", { title: "", most: 100 }, values).scale;
    expect(scaleOf(54, 96)).toMatchObject({ domain: [expect.closeTo(52, 0), 100], nice: false });
    expect(scaleOf(10, 60)).not.toHaveProperty("domain");
  });

  test("a table of all runs for other programs: a line each, what is missing empty, texts quoted", async () => {
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

  test("what is left of the initial running statistics, and accuracy without it, stand beside each cell", async () => {
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

  test("runs that differ in the seed alone are one line and one curve; the others say in what they differ", async () => {
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

  test("runs of different adapters, or of one seed, are not averaged without a word", async () => {
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

  test("a summary without its numbers is damaged: the run is named and left out of the mean", async () => {
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

  test("a record that is none is an error that names its file and what is wrong", () => {
    const whole = record("figure4", [], []);
    const parse = (value: unknown) => () => parseRecord(JSON.stringify(value), "x.experiment.json");
    expect(parse(whole)).not.toThrow();
    expect(() => parseRecord("{", "x.experiment.json")).toThrow(/x\.experiment\.json: expected JSON/);
    expect(parse({})).toThrow(/not an experiment record/);
    expect(parse({ ...whole, data: null })).toThrow(/x\.experiment\.json: data: not an experiment record/);
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

  test("figure 2: the best law of each curve is drawn and all are compared, or the reason is given for none", async () => {
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
    // d = 1 + ln t without noise: the law itself, and a ΔAICc of 0 for it alone.
    expect(markdown).toMatch(/\(a\) b=16 \| 1 \| log \| 0\.0, \d+\.\d, .* \| 1\.00 \[1\.00, 1\.00\]/);
    expect(markdown).toMatch(/\(a\) b=32 \| 1 \| a fit of the distance needs 6 points, found \d/);
    expect(markdown).toContain("they do not cover differences between seeds");
    expect(markdown).not.toContain("nested in a resampling of seeds");
    const fit = values(charts[0]!).filter(({ source }) => source === "fit");
    expect(fit.length).toBeGreaterThan(10);
    for (const { x, y } of fit) expect(y).toBeCloseTo(1 + Math.log(x), 6);
    expect(await chartSvg(charts[0]!.spec)).toContain('stroke-dasharray="1.5,3"');
  });

  test("published curves lie over ResNet44 on CIFAR-10 at full scale, and over nothing else", async () => {
    const published = { model: "resnet44", dataset: "cifar10" };
    const network = (name: string, configuration: object) => makeRun({ name, batchSize: 128, configuration });
    network("resnet", published);
    network("wide", { ...published, model: "wresnet16-4" });
    network("part", { ...published, subset: { train: 1024, test: 500, seed: 0 } });
    const drawn = async (kind: string, run: string, scale: string) => {
      const whole = { ...record(kind, [series("b=128", [run], { group: "a", batchSize: 128 })]), scale };
      const { charts } = await reportExperiment(whole, pathOf);
      return charts.some((chart) => values(chart).some(({ source }) => source.startsWith("published")));
    };
    for (const kind of ["figure1", "figure2"]) {
      expect(await drawn(kind, "resnet", "full")).toBe(true);
      expect(await drawn(kind, "resnet", "0.1")).toBe(false);
      expect(await drawn(kind, "part", "small")).toBe(false);
      expect(await drawn(kind, "wide", "full")).toBe(false);
    }
    const bins = [1, 2, 4, 8].map((distance) => ({ distance, deviation: distance, shift: 0, points: 1 }));
    const direction = {
      kind: "unit",
      range: 10,
      startLoss: 2,
      gradientNorm: 1,
      taylorSlope: 1,
      bins,
      floor: 0,
      slope: 1,
      exponent: 1,
      leavesTaylorAt: null,
    };
    for (const [id, scale, expected] of [
      ["figure4-resnet44-full", "full", true],
      ["figure4-resnet44-small", "small", false],
      ["figure4-f1-full", "full", false],
    ] as const) {
      const whole = { ...record("figure4", [], [direction]), id, scale };
      const { charts } = await reportExperiment(whole, pathOf);
      const [chart] = charts;
      expect(values(chart!).some(({ source }) => source.startsWith("published"))).toBe(expected);
      expect(chart!.caption.includes("drawn only over such runs")).toBe(!expected);
    }
  });

  test("bands are explained with n; an error axis begins at 0; more runs than colours are dashed", async () => {
    for (const seed of [0, 1]) makeRun({ name: `spread-${seed}`, seed, batchSize: 16 });
    const { charts } = await reportExperiment(
      record("figure1", [series("b=16", ["spread-0", "spread-1"], { batchSize: 16 })]),
      pathOf,
    );
    for (const { caption, spec } of charts) {
      expect(caption).toContain("Bands: mean ± 1 standard deviation over n = 2 seeds.");
      expect(JSON.stringify(spec)).toContain('"domainMin":0');
    }
    const many = Array.from({ length: 9 }, (_, i) => makeRun({ name: `many-${i}`, batchSize: 8 + i }));
    const [loss] = (await reportRuns(many)).charts;
    const strokes = [
      ...(await chartSvg(loss!.spec)).matchAll(
        /line mark.*? stroke="([^"]*)"[^>]*?(stroke-dasharray="[^"]*")?\/>/g,
      ),
    ];
    expect(new Set(strokes.map(([, color, dash]) => `${color} ${dash}`)).size).toBe(9);
  });

  test("a chart wider than its frame is not cut", async () => {
    const title =
      "A title that is a good deal longer than the one small chart below it is wide, and then some";
    const { charts } = await reportExperiment(
      { ...record("table1", [series("SB", ["seed-0"], { paper: 98.27 })]), title },
      pathOf,
    );
    const svg = await chartSvg(charts[0]!.spec);
    // 14 pixels high, about 7 wide a letter.
    expect(Number(/viewBox="0 0 ([\d.]+)/.exec(svg)![1])).toBeGreaterThan(6 * title.length);
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

test.skipIf(!hasChromium)("the page opens from a file, draws every chart, and logs nothing", async () => {
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
    // Charts are as wide as there is room for, and nothing makes the page wider than its window.
    for (const width of [390, 800, 1366]) {
      await page.setViewportSize({ width, height: 800 });
      const fits = `document.documentElement.scrollWidth === ${width} &&
          [...document.querySelectorAll("canvas")].every((canvas) => {
            const room = canvas.parentElement.clientWidth - parseFloat(canvas.style.width);
            return room >= 0 && room < 40;
          })`;
      await page.waitForFunction(fits);
    }
    expect(errors).toEqual([]);
    expect(requests.filter((url) => !url.startsWith("file:") && !url.startsWith("data:"))).toEqual([]);
  } finally {
    await close();
  }
});
