// Charts of reports, from run folders that the tests write: their data, their drawing, and the page in a real browser.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, describe, expect, test } from "vitest";
import { reportPage } from "../../src/report/page.ts";
import { chartSvg, svgToPng } from "../../src/report/render.ts";
import { type Report, reportExperiment, reportRuns } from "../../src/report/report.ts";
import { hasChromium, openBrowser } from "../support/browser.ts";
import { record, series } from "../support/made-record.ts";
import { type MadeRun, makeRun as makeRunIn } from "../support/made-run.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

const makeRun = (run: MadeRun) => makeRunIn(folder, run);
/** The data of a chart. */
const values = ({ spec }: Report["charts"][number]) =>
  (spec["data"] as { values: { source: string; x: number; y: number | null }[] }).values;
const pathOf = (name: string) => join(folder, name);
makeRun({ name: "seed-0", seed: 0 });

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

  test("figure 2: the best law of each curve is drawn and all laws are compared, or the reason for having none is given", async () => {
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
    // d = 1 + ln t without noise: the fit is the law itself, and only it has a ΔAICc of 0.
    expect(markdown).toMatch(/\(a\) b=16 \| 1 \| log \| 0\.0, \d+\.\d, .* \| 1\.00 \[1\.00, 1\.00\]/);
    expect(markdown).toMatch(/\(a\) b=32 \| 1 \| a fit of the distance needs 6 points, found \d/);
    expect(markdown).toContain("they do not cover differences between seeds");
    expect(markdown).not.toContain("nested in a resampling of seeds");
    const fit = values(charts[0]!).filter(({ source }) => source === "fit");
    expect(fit.length).toBeGreaterThan(10);
    for (const { x, y } of fit) expect(y).toBeCloseTo(1 + Math.log(x), 6);
    expect(await chartSvg(charts[0]!.spec)).toContain('stroke-dasharray="1.5,3"');
  });

  test("published curves are drawn over ResNet44 on CIFAR-10 at full scale, and over nothing else", async () => {
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

  test("captions explain bands with n; an error axis begins at 0; with more runs than colors, lines are dashed", async () => {
    for (const seed of [0, 1]) makeRun({ name: `spread-${seed}`, seed, batchSize: 16 });
    const { charts } = await reportExperiment(
      record("figure1", [series("b=16", ["spread-0", "spread-1"], { batchSize: 16 })]),
      pathOf,
    );
    expect(charts.length).toBeGreaterThan(0);
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

  test("a chart with a long title is not cut off", async () => {
    const title =
      "A title that is a good deal longer than the one small chart below it is wide, and then some";
    const { charts } = await reportExperiment(
      { ...record("table1", [series("SB", ["seed-0"], { paper: 98.27 })]), title },
      pathOf,
    );
    const svg = await chartSvg(charts[0]!.spec);
    // 14 pixels high, so about 7 per letter.
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

test.skipIf(!hasChromium)("the page opens from a file, draws every chart, and logs no error", async () => {
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
    // Every chart has pixels that are neither white nor transparent.
    const colored = await page.evaluate(`[...document.querySelectorAll("canvas")].map((canvas) => {
      const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
      let count = 0;
      for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 0 && data[i] + data[i + 1] + data[i + 2] < 600) count++;
      return count;
    })`);
    for (const count of colored as number[]) expect(count).toBeGreaterThan(2000);
    // Charts fill the width, and nothing makes the page wider than its window.
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
