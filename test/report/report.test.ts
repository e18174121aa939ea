// Reports from run folders that are made here: what is shown, what is left out, and the page in a real browser.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PNG } from "pngjs";
import { afterAll, describe, expect, test } from "vitest";
import { stringify } from "yaml";
import type { ExperimentRecord } from "../../src/report/experiment-record.ts";
import { parseRecord } from "../../src/report/experiment-record.ts";
import { ledgerOf } from "../../src/report/ledger.ts";
import { reportPage } from "../../src/report/page.ts";
import { chartSvg, svgToPng } from "../../src/report/render.ts";
import { reportExperiment, reportRuns } from "../../src/report/report.ts";
import { readRun } from "../../src/storage/read-run.ts";
import { CHROMIUM, openBrowser } from "../support/browser.ts";

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface MadeRun {
  readonly name: string;
  readonly batchSize?: number;
  readonly seed?: number;
  readonly finished?: boolean;
  readonly scale?: number;
  /** Steps without a loss. */
  readonly gap?: readonly number[];
  readonly steps?: number;
}

/** A run's folder as training leaves it: d = scale · (1 + ln t), error falling to 5 %. */
function makeRun({
  name,
  batchSize = 32,
  seed = 0,
  finished = true,
  scale = 1,
  gap = [],
  steps = 200,
}: MadeRun): string {
  const path = join(folder, name);
  mkdirSync(path, { recursive: true });
  writeFileSync(
    join(path, "config.yaml"),
    stringify({ dataset: "mnist", model: "f1", batchSize, ghostSize: null, seed, baseRegime: "f1-small" }),
  );
  writeFileSync(
    join(path, "environment.json"),
    JSON.stringify({
      command: "made by a test",
      adapter: { name: "test <adapter>" },
      started: "2026-01-01T00:00:00Z",
    }),
  );
  const rows: object[] = [];
  for (let step = 1; step <= steps; step++) {
    const loss = gap.includes(step) ? "NaN" : 2 / step;
    const distance = scale * (1 + Math.log(step));
    rows.push({
      kind: "train",
      step,
      epoch: step / 10,
      loss,
      accuracy: 95 - 50 / step,
      learningRate: 0.05,
      distanceFirst: distance,
      distanceAll: 2 * distance,
      imagesPerSecond: 1000,
    });
    if (step % 10 === 0)
      rows.push({
        kind: "evaluation",
        step,
        epoch: step / 10,
        testLoss: 1 / step,
        testAccuracy: 94.5 + seed - 40 / step,
      });
  }
  writeFileSync(join(path, "metrics.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const summary = {
    accuracy: 94.3 + seed,
    best: 94.4 + seed,
    steps,
    samples: steps * batchSize,
    flops: 1e9,
    seconds: 2,
    distanceFirst: 6,
    distanceAll: 12,
    batchNormGroup: batchSize,
  };
  if (finished) writeFileSync(join(path, "summary.json"), JSON.stringify(summary));
  return path;
}

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

  test("a record that is none is an error that names its file", () => {
    expect(() => parseRecord("{", "x.experiment.json")).toThrow(/x\.experiment\.json: expected JSON/);
    expect(() => parseRecord("{}", "x.experiment.json")).toThrow(/is not the record/);
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

test("the ledger: what an accuracy cost, or that it was not reached", async () => {
  const run = await readRun(pathOf("seed-0"));
  // 94.5 − 40 / step is 90 or more from step 8.9 on; the first evaluation after that is at 10 of 200 steps.
  expect(ledgerOf(run, 90).reached).toEqual({ steps: 10, samples: 320, flops: 5e7, seconds: 0.1 });
  expect(ledgerOf(run, 99).reached).toBeNull();
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
