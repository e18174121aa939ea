// Every cell of both tables at full scale, planned without data: steps, rates and boundaries of the paper's runs.

import { describe, expect, test } from "vitest";
import { COLUMNS, type Column, cellSpec, type Row, withLargeBatch } from "../../src/paper/columns.ts";
import { figureRuns } from "../../src/paper/figures.ts";
import { ROWS } from "../../src/paper/table1.ts";
import { TABLE2_ROWS } from "../../src/paper/table2.ts";
import { costOf, dataFactsOf } from "../../src/run/cost.ts";
import { planRun } from "../../src/run/plan-run.ts";
import { hyperparametersAt } from "../../src/train/regime.ts";

async function plan(row: Row, column: Column, scale: "full" | number = "full") {
  const spec = cellSpec(row, { column, scale, seed: 0 });
  const facts = await dataFactsOf(spec, undefined);
  return { ...planRun(spec, facts), cost: costOf(spec, facts, 1) };
}

/** Row: epochs, steps of SB, of LB, epochs and steps of +RA, the first rate, and √(B_L / B_S). */
const PUBLISHED: Readonly<Record<string, readonly [number, number, number, number, number, number, number]>> =
  {
    f1: [50, 23_450, 750, 1600, 24_000, 0.1, Math.sqrt(32)],
    c1: [200, 78_200, 2600, 6400, 83_200, 1e-3, Math.sqrt(32)],
    resnet44: [100, 39_100, 1300, 3200, 41_600, 0.1, Math.sqrt(32)],
    vgg: [200, 78_200, 2600, 6400, 83_200, 0.1, Math.sqrt(32)],
    c3: [200, 78_200, 2600, 6400, 83_200, 1e-3, Math.sqrt(32)],
    "wresnet16-4": [200, 78_200, 2600, 6400, 83_200, 0.1, Math.sqrt(32)],
    "alexnet-4096": [30, 150_150, 9390, 480, 150_240, 0.01, 4],
    "alexnet-8192": [30, 150_150, 4710, 960, 150_720, 0.01, Math.sqrt(32)],
  };
const ALL = { ...ROWS, ...TABLE2_ROWS };

test("the rows of both tables are planned, and no others", () => {
  expect(Object.keys(ALL).sort()).toEqual(Object.keys(PUBLISHED).sort());
});

describe.each(Object.entries(PUBLISHED))(
  "%s",
  (name, [epochs, small, large, adaptedEpochs, adapted, rate, factor]) => {
    const row = ALL[name]!;

    test.each(COLUMNS)("%s", async (column) => {
      const { regime, epoch, cost } = await plan(row, column);
      expect(cost.steps).toBe({ SB: small, LB: large, LR: large, GBN: large, RA: adapted }[column]);
      expect(cost.epochs).toBe(column === "RA" ? adaptedEpochs : epochs);
      const scaled = column === "SB" || column === "LB" ? 1 : factor;
      expect(hyperparametersAt(regime, 0).learningRate).toBeCloseTo(rate * scaled, 10);
      const { small: smallBatch, large: largeBatch, ghost } = row.scales.full;
      const group = { SB: smallBatch, LB: largeBatch, LR: largeBatch, GBN: ghost, RA: ghost }[column];
      expect(epoch.full!.ghostSize).toBe(group);
    });
  },
);

test("ResNet44: the rate drops at epoch 81, and at 2592 with the adapted regime", async () => {
  const plain = (await plan(ROWS["resnet44"]!, "LR")).regime;
  expect(plain.learningRateScale * 0.1).toBeCloseTo(0.56569, 5);
  expect(plain.phases.map(({ epoch }) => epoch)).toEqual([0, 81]);
  const adapted = (await plan(ROWS["resnet44"]!, "RA")).regime;
  expect(adapted.phases.map(({ epoch, step }) => [epoch, step])).toEqual([
    [0, 0],
    [2592, 33_696],
  ]);
  expect((await plan(ROWS["resnet44"]!, "SB")).regime.phases[1]!.step).toBe(31_671); // Figure 3's drop, at 31.65k
});

test("momentum is reset every epoch, as in the released code", async () => {
  for (const row of Object.values(ALL)) expect((await plan(row, "LB")).regime.momentumReset).toBe("epoch");
});

test("the published choices change only the initial gamma, and only where the released code leaves it to PyTorch", () => {
  const cell = { column: "GBN", scale: "full", seed: 0 } as const;
  for (const [name, row] of Object.entries(ALL)) {
    const published = cellSpec(row, { ...cell, choices: "published" });
    const leftOpen = /^(f1|c1|c3|alexnet)/.test(name);
    expect(published, name).toEqual({
      ...cellSpec(row, cell),
      ...(leftOpen && { gamma: "uniform" }),
    });
  }
});

test("a fraction scales every boundary and the end", async () => {
  const { regime, cost } = await plan(ROWS["resnet44"]!, "SB", 0.1);
  expect(cost.epochs).toBe(10);
  expect(regime.phases.map(({ epoch }) => epoch)).toEqual([0, expect.closeTo(8.1, 2)]);
});

test("a growing batch shows the same number of samples in fewer steps", async () => {
  const row = ROWS["f1"]!;
  const spec = cellSpec(row, { column: "GROWTH", scale: "small", seed: 0 });
  const small = cellSpec(row, { column: "SB", scale: "small", seed: 0 });
  const facts = await dataFactsOf(spec, undefined);
  const [growing, plain] = [costOf(spec, facts, 1), costOf(small, facts, 1)];
  expect(growing.samples).toBe(plain.samples);
  expect(growing.steps).toBeLessThan(plain.steps);
  // Epochs 8 to 10 at ten times the batch and the first rate. Then the batch may not grow by ten again, so the rate drops.
  expect(growing.phases.map(({ learningRate }) => learningRate)).toEqual([
    0.05,
    expect.closeTo(0.05, 10),
    expect.closeTo((0.0005 * 384) / 32, 10),
  ]);
});

test("another large batch takes the small batch's epochs, and its steps when adapted; only SB stays published", async () => {
  const f1 = ROWS["f1"]!;
  const row = withLargeBatch(f1, 1024, "full");
  expect(row.network).toBe("F1, batch 1024");
  expect(row.paper).toEqual({ SB: 98.27, LB: null, LR: null, GBN: null, RA: null });
  expect(cellSpec(row, { column: "SB", scale: "full", seed: 0 })).toEqual(
    cellSpec(f1, { column: "SB", scale: "full", seed: 0 }),
  );
  const [large, remedied, adapted] = await Promise.all([plan(row, "LB"), plan(row, "GBN"), plan(row, "RA")]);
  expect([large.cost.epochs, large.cost.steps]).toEqual([50, 2950]);
  expect(hyperparametersAt(large.regime, 0).learningRate).toBe(0.1);
  expect(remedied.epoch.full!.ghostSize).toBe(128);
  expect(hyperparametersAt(remedied.regime, 0).learningRate).toBeCloseTo(0.1 * Math.sqrt(8), 10);
  expect([adapted.cost.epochs, adapted.cost.steps]).toEqual([400, 23_600]);
  expect(cellSpec(row, { column: "RA", scale: "full", seed: 0 }).evaluateEvery).toBe(8);
  // 5 epochs of 4096 are 75 steps.
  expect(cellSpec(row, { column: "LINEAR", scale: "full", seed: 0 }).warmupSteps).toBe(300);
  expect(withLargeBatch(f1, 4096, "full")).toBe(f1);
  expect(() => withLargeBatch(f1, 128, "full")).toThrow(
    "--large-batch 128: expected more than the small batch of F1 at this scale, 128",
  );
});

describe("figures at full scale", () => {
  const choice = { row: ROWS["resnet44"]!, scale: "full", seed: 0, images: "cifar10" } as const;

  test("figures 1 and 2: six batch sizes from 64 to 2048, with and without the remedies", () => {
    const sizes = [64, 128, 256, 512, 1024, 2048];
    expect(figureRuns("figure1", choice).map(({ batchSize }) => batchSize)).toEqual(sizes);
    const runs = figureRuns("figure2", choice);
    expect(runs.map(({ panel, batchSize }) => `${panel}${batchSize}`)).toEqual(
      ["a", "b"].flatMap((panel) => sizes.map((size) => panel + size)),
    );
    for (const { panel, spec, batchSize } of runs) {
      expect(spec).toMatchObject({
        epochs: 80,
        constantRate: true,
        learningRateRule: panel === "a" ? "none" : "sqrt",
      });
      expect(spec.ghostSize).toBe(panel === "a" ? null : Math.min(128, batchSize));
    }
  });

  test("figure 3: the small batch, and 2048 and 4096 with its number of steps", async () => {
    const runs = figureRuns("figure3", choice);
    const facts = await dataFactsOf(runs[0]!.spec, undefined);
    const epochs = runs.map(({ spec }) => planRun(spec, facts).regime.totalEpochs);
    expect(runs.map(({ batchSize }) => batchSize)).toEqual([128, 2048, 4096]);
    expect(epochs).toEqual([100, 1600, 3200]);
  });
});
