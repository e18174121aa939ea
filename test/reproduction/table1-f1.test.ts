// Table 1's F1 row at small scale (docs/PAPER.md): the paper's statements as inequalities between means over seeds 0 to 2.
// Each fails if a method is wired wrongly. Prints what it measures. About ten minutes on two CPU cores.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { GpuSession } from "../../src/host/node/gpu-session.ts";
import { type Column, cellSpec } from "../../src/paper/columns.ts";
import { ROWS } from "../../src/paper/table1.ts";
import { completeSpec, type RunSpec } from "../../src/run/run-spec.ts";
import { type FinishedRun, runOnce } from "../../src/run/runner.ts";
import { fitLine } from "../../src/support/statistics.ts";

const SEEDS = [0, 1, 2];
const LARGE = 1024;

const session = new GpuSession();
const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-table1-"));
beforeAll(async () => {
  report(`on ${(await session.open()).adapter.name}`);
});
afterAll(() => rmSync(runsDirectory, { recursive: true }));

function report(line: string): void {
  process.stdout.write(`table1-f1: ${line}\n`);
}

const specOf = (column: Column, seed: number) => cellSpec(ROWS.f1!, { column, scale: "small", seed });

async function run(spec: RunSpec, label: string): Promise<FinishedRun> {
  const finished = await runOnce(session, spec, label, { runsDirectory, command: "test" });
  const { accuracy, steps, seconds, distanceAll } = finished.summary;
  if (finished.reused) return finished;
  report(
    `${label} seed ${spec.seed}: ${accuracy.toFixed(2)} %, ${steps} steps, distance ${distanceAll.toFixed(2)}, ${seconds.toFixed(1)} s`,
  );
  return finished;
}

const means = new Map<Column, number>();

/** Mean of the final accuracies over the seeds, percent. A cell runs at its first use. */
async function meanAccuracy(column: Column): Promise<number> {
  const known = means.get(column);
  if (known !== undefined) return known;
  let sum = 0;
  for (const seed of SEEDS) sum += (await run(specOf(column, seed), column)).summary.accuracy;
  const mean = sum / SEEDS.length;
  means.set(column, mean);
  report(`${column} mean ${mean.toFixed(2)} %`);
  return mean;
}

describe("accuracy, percent", () => {
  test("the large batch costs accuracy: SB − LB ≥ 1.5", async () => {
    expect((await meanAccuracy("SB")) - (await meanAccuracy("LB"))).toBeGreaterThanOrEqual(1.5);
  });

  test("the learning rate recovers some of it: +LR − LB ≥ 0.5", async () => {
    expect((await meanAccuracy("LR")) - (await meanAccuracy("LB"))).toBeGreaterThanOrEqual(0.5);
  });

  test("ghosts recover more: +GBN ≥ +LR, +GBN − LB ≥ 1.0", async () => {
    const ghosts = await meanAccuracy("GBN");
    expect(ghosts - (await meanAccuracy("LR"))).toBeGreaterThanOrEqual(0);
    expect(ghosts - (await meanAccuracy("LB"))).toBeGreaterThanOrEqual(1);
  });

  test("negative control: a ghost as large as the batch is the +LR run, bit for bit", async () => {
    const plain = await run(specOf("LR", 0), "LR");
    const control = await run(completeSpec({ ...specOf("GBN", 0), ghostSize: LARGE }), "GBN-of-whole-batch");
    const weightsOf = ({ folder }: FinishedRun) => readFileSync(join(folder, "weights.safetensors"));
    expect(weightsOf(control).equals(weightsOf(plain))).toBe(true);
    const ghosts = await run(specOf("GBN", 0), "GBN");
    expect(weightsOf(ghosts).equals(weightsOf(plain))).toBe(false);
  });

  test("training longer closes the gap: RA ≥ SB − 0.2, RA − LB ≥ 2.0", async () => {
    const adapted = await meanAccuracy("RA");
    expect(adapted - (await meanAccuracy("SB"))).toBeGreaterThanOrEqual(-0.2);
    expect(adapted - (await meanAccuracy("LB"))).toBeGreaterThanOrEqual(2);
  });
});

interface Plateau {
  readonly batchSize: number;
  readonly ghostSize?: number;
  readonly rule?: RunSpec["learningRateRule"];
}

/** A run of this many steps at a constant learning rate. */
function plateau(
  { batchSize, ghostSize, rule = "none" }: Plateau,
  steps: number,
  seed: number,
): Promise<FinishedRun> {
  const length = { constantRate: true, epochs: steps, maxSteps: steps, evaluateEvery: steps };
  const spec = {
    ...specOf("SB", seed),
    batchSize,
    ghostSize: ghostSize ?? null,
    learningRateRule: rule,
    ...length,
  };
  const label = `plateau-${batchSize}-${rule}-${ghostSize ?? "whole"}`;
  return run(completeSpec(spec), label);
}

describe("distance from the start at a constant learning rate", () => {
  const STEPS = 320;

  /** Distance relative to the small batch's, at the same seed. */
  async function relativeDistance(options: Plateau): Promise<number> {
    let sum = 0;
    // A seed of the large batch costs 0.2 TFLOP, so one has to be enough.
    const seeds = options.batchSize === LARGE ? SEEDS.slice(0, 1) : SEEDS;
    for (const seed of seeds) {
      const [own, small] = [
        await plateau(options, STEPS, seed),
        await plateau({ batchSize: 32 }, STEPS, seed),
      ];
      sum += own.summary.distanceAll / small.summary.distanceAll;
    }
    report(`${JSON.stringify(options)}: ${(sum / seeds.length).toFixed(3)} of SB's distance`);
    return sum / seeds.length;
  }
  const cures = { ghostSize: 32, rule: "sqrt" } as const;

  test("√-scaled rates with ghosts go as far as the small batch: within 8 % at 128, 15 % at 1024", async () => {
    expect(Math.abs((await relativeDistance({ batchSize: 128, ...cures })) - 1)).toBeLessThanOrEqual(0.08);
    expect(Math.abs((await relativeDistance({ batchSize: LARGE, ...cures })) - 1)).toBeLessThanOrEqual(0.15);
  });

  test("without them a larger batch stays closer: below 0.65", async () => {
    expect(await relativeDistance({ batchSize: 128 })).toBeLessThan(0.65);
    expect(await relativeDistance({ batchSize: LARGE })).toBeLessThan(0.65);
  });

  test("linearly scaled rates go too far: above 1.8", async () => {
    expect(await relativeDistance({ batchSize: LARGE, rule: "linear" })).toBeGreaterThan(1.8);
  });

  test("grows with the logarithm of the step: R² ≥ 0.97, exponent of a power law < 0.45", async () => {
    const { folder } = await plateau({ batchSize: 32 }, 2560, 0);
    const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8").trimEnd().split("\n");
    const metrics = lines.map((line) => JSON.parse(line) as { step: number; distanceAll: number | null });
    const points = metrics.filter(({ step, distanceAll }) => distanceAll !== null && step >= 5);
    const time = points.map(({ step }) => Math.log(step));
    const logarithmic = fitLine(
      time,
      points.map(({ distanceAll }) => distanceAll!),
    );
    const power = fitLine(
      time,
      points.map(({ distanceAll }) => Math.log(distanceAll!)),
    );
    report(
      `SB, ${points.length} points: R² ${logarithmic.r2.toFixed(4)}, power exponent ${power.slope.toFixed(3)}`,
    );
    expect(points.length).toBeGreaterThan(30);
    expect(logarithmic.r2).toBeGreaterThanOrEqual(0.97);
    expect(power.slope).toBeLessThan(0.45);
  });
});
