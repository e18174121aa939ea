// Table 1's row of F1 at small scale (docs/PAPER.md): the paper's statements as inequalities between means over seeds
// 0 to 2, each of which fails if a method is wired wrongly. Prints what it measures. About ten minutes on two CPU cores.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { uploadDataset } from "../../src/data/resident.ts";
import { type Column, cellSpec } from "../../src/experiments/columns.ts";
import { trainOptions } from "../../src/experiments/execute.ts";
import { prepareRun } from "../../src/experiments/prepare.ts";
import { RunSpec } from "../../src/experiments/run-spec.ts";
import { type FinishedRun, runOnce } from "../../src/experiments/runner.ts";
import { ROWS } from "../../src/experiments/table1.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { GpuSession } from "../../src/host/gpu-session.ts";
import { materialize } from "../../src/nn/model-state.ts";
import { BASE_REGIMES } from "../../src/train/base-regimes.ts";
import { type LearningRateRule, planRegime } from "../../src/train/regime.ts";
import { type Distances, Trainer } from "../../src/train/trainer.ts";
import { fitLine } from "../support/fit-line.ts";

const SEEDS = [0, 1, 2];
const LARGE = 1024;

const session = new GpuSession();
let gpu: Gpu;
const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-table1-"));
beforeAll(async () => {
  gpu = await session.open();
  report(`on ${gpu.adapter.name}`);
});
afterAll(() => rmSync(runsDirectory, { recursive: true }));

function report(line: string): void {
  process.stdout.write(`table1-f1: ${line}\n`);
}

const specOf = (column: Column, seed: number) => cellSpec(ROWS.f1!, { column, scale: "small", seed });

async function run(spec: RunSpec, label: string): Promise<FinishedRun> {
  const finished = await runOnce(session, spec, label, { runsDirectory, command: "test" });
  const { accuracy, steps, seconds, distanceAll } = finished.summary;
  report(
    `${label} seed ${spec.seed}: ${accuracy.toFixed(2)} %, ${steps} steps, distance ${distanceAll.toFixed(2)}, ${seconds.toFixed(1)} s`,
  );
  return finished;
}

const means = new Map<Column, number>();

/** Mean of the final accuracies over the seeds, percent; the cells are run when they are asked for first. */
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

  test("the learning rate gives some of it back: +LR − LB ≥ 0.5", async () => {
    expect((await meanAccuracy("LR")) - (await meanAccuracy("LB"))).toBeGreaterThanOrEqual(0.5);
  });

  test("ghosts give more: +GBN ≥ +LR, +GBN − LB ≥ 1.0", async () => {
    const ghosts = await meanAccuracy("GBN");
    expect(ghosts - (await meanAccuracy("LR"))).toBeGreaterThanOrEqual(0);
    expect(ghosts - (await meanAccuracy("LB"))).toBeGreaterThanOrEqual(1);
  });

  test("negative control: a ghost as large as the batch is the +LR run, bit for bit", async () => {
    const plain = await run(specOf("LR", 0), "LR");
    const control = await run(
      RunSpec.parse({ ...specOf("GBN", 0), ghostSize: LARGE }),
      "GBN of the whole batch",
    );
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

/** Distances from the start of a run at a constant learning rate. */
async function distances(options: {
  batchSize: number;
  ghostSize?: number;
  rule?: LearningRateRule;
  steps: number;
  seed: number;
}) {
  const { batchSize, ghostSize = null, rule = "none", steps, seed } = options;
  const plateau = { batchSize, ghostSize, learningRateRule: rule, evaluateEvery: steps };
  const prepared = await prepareRun(RunSpec.parse({ ...specOf("SB", seed), ...plateau }));
  const { entries, ...base } = BASE_REGIMES["f1-small"];
  const regime = planRegime({
    base: { ...base, epochs: steps, entries: entries.slice(0, 1) },
    batchSize,
    referenceBatchSize: base.batchSize,
    stepsPerEpoch: prepared.epoch.stepsPerEpoch,
    rule,
    maxSteps: steps,
  });
  return gpu.lifetime(async () => {
    const { dataset, model, epoch } = prepared;
    const state = materialize(gpu, model, { seed, maximumGhosts: epoch.last.ghosts });
    const trainer = await Trainer.create(
      gpu,
      state,
      uploadDataset(gpu, dataset),
      trainOptions({ ...prepared, regime }),
    );
    const measured: Distances[] = [];
    for await (const event of trainer.run()) {
      if (event.kind === "metrics") measured.push(...event.distances);
    }
    expect(measured.at(-1)!.step).toBe(steps);
    return measured;
  });
}

describe("distance from the start at a constant learning rate", () => {
  const STEPS = 320;
  const afterSteps = async (
    batchSize: number,
    options: { ghostSize?: number; rule?: LearningRateRule } = {},
  ) => {
    let total = 0;
    // 0.2 TFLOP for a seed of the large batch: one must do.
    const seeds = batchSize === LARGE ? SEEDS.slice(0, 1) : SEEDS;
    for (const seed of seeds) {
      const { distanceAll, distanceFirst } = (
        await distances({ batchSize, steps: STEPS, seed, ...options })
      ).at(-1)!;
      const own = (await smallBatch(seed)).distanceAll;
      report(
        `B=${batchSize} ${JSON.stringify(options)} seed ${seed}: ${distanceFirst.toFixed(2)} / ${distanceAll.toFixed(2)}, ${(distanceAll / own).toFixed(3)} of SB's`,
      );
      total += distanceAll / own;
    }
    return total / seeds.length;
  };
  const known = new Map<number, Distances>();
  const smallBatch = async (seed: number): Promise<Distances> => {
    const distance = known.get(seed) ?? (await distances({ batchSize: 32, steps: STEPS, seed })).at(-1)!;
    known.set(seed, distance);
    return distance;
  };
  const cures = { ghostSize: 32, rule: "sqrt" } as const;

  test("√-scaled rates with ghosts go as far as the small batch: within 8 % at 128, 15 % at 1024", async () => {
    expect(Math.abs((await afterSteps(128, cures)) - 1)).toBeLessThanOrEqual(0.08);
    expect(Math.abs((await afterSteps(LARGE, cures)) - 1)).toBeLessThanOrEqual(0.15);
  });

  test("without them a larger batch stays nearer: below 0.65", async () => {
    expect(await afterSteps(128)).toBeLessThan(0.65);
    expect(await afterSteps(LARGE)).toBeLessThan(0.65);
  });

  test("linearly scaled rates go too far: above 1.8", async () => {
    expect(await afterSteps(LARGE, { rule: "linear" })).toBeGreaterThan(1.8);
  });

  test("grows as the logarithm of the step: R² ≥ 0.97, exponent of a power law < 0.45", async () => {
    const all = await distances({ batchSize: 32, steps: 2560, seed: 0 });
    const points = all.filter(({ step }) => step >= 5);
    const time = points.map(({ step }) => Math.log(step));
    const logarithmic = fitLine(
      time,
      points.map(({ distanceAll }) => distanceAll),
    );
    const power = fitLine(
      time,
      points.map(({ distanceAll }) => Math.log(distanceAll)),
    );
    report(
      `SB, ${points.length} points: R² ${logarithmic.r2.toFixed(4)}, power exponent ${power.slope.toFixed(3)}`,
    );
    expect(points.length).toBeGreaterThan(30);
    expect(logarithmic.r2).toBeGreaterThanOrEqual(0.97);
    expect(power.slope).toBeLessThan(0.45);
  });
});
