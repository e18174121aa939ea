// A growing batch: stages of one run, which can be stopped, lose its device and continue like any other.

import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { memoryOf, plannedData, planTraining } from "../../src/run/dry-run.ts";
import { batchStages } from "../../src/run/growing-batch.ts";
import { factsOf, planRun } from "../../src/run/plan-run.ts";
import { prepareRun } from "../../src/run/prepare.ts";
import { RunControl } from "../../src/run/run-control.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { runOnce } from "../../src/run/runner.ts";
import { StoppedError } from "../../src/support/errors.ts";
import {
  BASE_REGIMES,
  type BaseRegime,
  type BaseRegimeName,
  namedRegime,
} from "../../src/train/base-regimes.ts";
import { checkpoints, FolderRuns, losing, SPEC } from "../support/folder-runs.ts";
import { outcome } from "../support/kills.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-growing-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

/** 4 epochs of 52 steps of 8, then 1 epoch and 7 steps of 40: stages that end at steps 208, 219 and 226. */
const GROWING = {
  ...SPEC,
  dataset: "synthetic:1x7x7:4:410:40",
  batchSize: 8,
  ghostSize: 4,
  baseRegime: "f1-small",
  epochs: undefined,
  epochScale: 0.5,
  evaluateEvery: 1,
  maxSteps: 226,
  batchGrowth: true,
} as const;

const runs = new FolderRuns(runsDirectory);
const { report, session, lines } = runs;
let expected: string;

beforeAll(async () => {
  const { path, done } = await runs.start("undisturbed", GROWING);
  expect(await done).toMatchObject({ steps: 226, samples: 4 * 410 + 410 + 7 * 40, slabSamples: 40 });
  expected = outcome(path);
});

function metricsOf(path: string): { kind: string; step: number; epoch: number; learningRate: number }[] {
  const text = readFileSync(join(path, "metrics.jsonl"), "utf8").trimEnd();
  return text.split("\n").map((line) => JSON.parse(line));
}

/** Options of a run that stops after the first read-back at step `at` or later. */
function stoppingAt(at: number) {
  const control = new RunControl();
  const onProgress = ({ step }: { step: number }) => {
    if (step >= at) control.requestStop({ by: "test", exitCode: 99 });
  };
  return { control, onProgress };
}

test("steps and epochs are counted across stages, with one line per step", () => {
  const metrics = metricsOf(join(runsDirectory, "undisturbed"));
  const training = metrics.filter(({ kind }) => kind === "train");
  expect(training.map(({ step }) => step)).toEqual(Array.from({ length: 226 }, (_, i) => i + 1));
  const epochAt = (step: number) => training[step - 1]!.epoch;
  expect([52, 208, 219, 226].map(epochAt)).toEqual([1, 4, 5, expect.closeTo(5 + 7 / 11, 12)]);
  const evaluations = metrics.filter(({ kind }) => kind === "evaluation");
  expect(evaluations.map(({ step }) => step)).toEqual([52, 104, 156, 208, 219, 226]);
});

test.each([
  ["the first stage", [101]],
  ["the last step of a stage", [208]],
  ["the second stage", [213]],
  ["the last stage", [223]],
  ["every stage, one after the other", [3, 150, 208, 210, 219, 221]],
])("stopped in %s, it ends with the same bits", async (_, stops) => {
  const name = `stopped-${stops.join("-")}`;
  let run = null;
  for (const at of stops) {
    const options = stoppingAt(at);
    let done: Promise<unknown>;
    if (run === null) {
      run = await runs.start(name, GROWING, options);
      done = run.done;
    } else done = runs.goOn(run, options);
    const error: unknown = await done.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoppedError);
    const step = Number(
      (error as Error).message.match(/^stopped by test after step (\d+) of 226; continue with/)![1],
    );
    expect(step - at).toBeOneOf([0, 1]);
    expect(readdirSync(join(run.path, "checkpoints"))).toContain(`last-${step}.json`);
  }
  await runs.goOn(run!);
  expect(lines.some((line) => /^resuming .* after step \d+$/.test(line))).toBe(true);
  expect(outcome(run!.path)).toBe(expected);
});

test("stopped between read-backs in a later stage: the checkpoint holds the metrics of its steps", async () => {
  const control = new RunControl();
  let told = 0;
  const onProgress = ({ step }: { step: number }) => {
    // Progress of the metrics, then of the evaluation; the next stage is still waiting for its first steps.
    if (step === 208 && ++told === 2) setImmediate(() => control.requestStop({ by: "test", exitCode: 99 }));
  };
  const run = await runs.start("stopped-unread", GROWING, { control, onProgress, logEvery: 1000 });
  await expect(run.done).rejects.toThrow(/^stopped by test after step 2(09|1[0-8]) of 226; continue with/);
  expect(metricsOf(run.path).at(-1)!.step).toBe(208);
  await runs.goOn(run);
  expect(outcome(run.path)).toBe(expected);
});

test("a device lost in a later stage: the lines after the checkpoint are removed and written again", async () => {
  const { session: on, onProgress } = losing([215]);
  const { path, done } = await runs.start("lost", GROWING, { onProgress, logEvery: 1 }, on);
  await done;
  expect(lines).toEqual([
    expect.stringMatching(/continuing from the checkpoint of step \d+ on a new device$/),
  ]);
  expect(outcome(path)).toBe(expected);
});

test("as a cell of an experiment it continues, and once finished it is not run again", async () => {
  const spec = completeSpec(GROWING);
  const options = { runsDirectory, command: "test", checkpoints, logEvery: 2, report };
  await expect(runOnce(session, spec, "cell", { ...options, ...stoppingAt(212) })).rejects.toThrow(
    StoppedError,
  );
  const finished = await runOnce(session, spec, "cell", options);
  expect(outcome(finished.folder)).toBe(expected);
  expect(await runOnce(session, spec, "cell", options)).toEqual({ ...finished, reused: true });
});

test("NaN in a later stage is reported with the step counted across stages", async () => {
  // One step per stage. The second update moves the weights so far that the network overflows.
  const { done } = await runs.start(
    "diverged",
    { ...GROWING, epochScale: 1 / (8 * 52), learningRate: 1e7, clipNorm: 0, momentum: 0 },
    { checkpoints: { every: { steps: 100 }, keep: 1 } },
  );
  await expect(done).rejects.toThrow(
    /^the evaluation after step 2: the test loss is NaN; every parameter is finite, .*; there was no checkpoint yet$/,
  );
});

test("without a ghost size, ghosts keep the size of the first batch", async () => {
  const prepared = await prepareRun(completeSpec({ ...GROWING, ghostSize: undefined }));
  const sizes = batchStages(prepared, factsOf(prepared.dataset)).map(({ spec }) => [
    spec.batchSize,
    spec.ghostSize,
  ]);
  expect(sizes).toEqual([
    [8, 8],
    [40, 8],
    [40, 8],
  ]);
});

test.each(Object.keys(BASE_REGIMES) as BaseRegimeName[])(
  "%s: the noise η / B is the regime's in every stage, and no batch is smaller than the first",
  (baseRegime) => {
    const base: BaseRegime = namedRegime({ baseRegime, model: "f1" });
    const spec = completeSpec({
      model: "f1",
      dataset: "synthetic:1x7x7:4",
      baseRegime,
      ...{ batchSize: 64, ghostSize: 16, batchGrowth: true },
    });
    const facts = { name: "many", classes: 4, channels: 1, height: 7, width: 7, count: 50_000 };
    const stages = batchStages(planRun(spec, facts), facts);
    let rate = 0;
    const rates = base.entries
      .filter(({ epoch }) => epoch < base.epochs)
      .map(({ learningRate }) => {
        rate = learningRate ?? rate;
        return rate;
      });
    expect(stages).toHaveLength(rates.length);
    for (const [i, { spec: one, regime }] of stages.entries()) {
      expect(regime.phases[0]!.learningRate / one.batchSize).toBeCloseTo(rates[i]! / 64, 12);
      expect(one.batchSize).toBeGreaterThanOrEqual(64);
      expect(one.ghostSize).toBe(16);
    }
    // The rate is never above the regime's highest, apart from the rounding of batch sizes.
    const highest = Math.max(...rates);
    for (const { regime } of stages)
      expect(regime.phases[0]!.learningRate).toBeLessThanOrEqual(1.001 * highest);
  },
);

test("its planned memory is what it uses: that of the largest batch", async () => {
  const gpu = await session.open();
  const before = gpu.allocatedBytes;
  // Large enough that constants and the log matter little beside the tensors: an epoch of 513 steps, then larger batches.
  const large = { dataset: "synthetic:1x28x28:4:4100:400", width: 256, epochScale: 0.125, maxSteps: 525 };
  const wide = { ...GROWING, ...large };
  const prepared = await prepareRun(completeSpec(wide));
  const plan = planTraining(gpu, prepared, plannedData(prepared));
  const { done } = await runs.start("measured", wide, { checkpoints: { every: { steps: 10_000 }, keep: 1 } });
  const { gpuBytes } = await done;
  expect((gpuBytes - before) / memoryOf(plan)).toBeLessThan(1.1);
});

test.each([
  ["--lr-rule", { learningRateRule: "sqrt", referenceBatchSize: 4 }],
  ["--regime", { regime: "adapted", referenceBatchSize: 4 }],
  ["--constant-rate", { constantRate: true }],
] as const)("%s together with it is refused", async (option, given) => {
  const prepared = await prepareRun(completeSpec({ ...GROWING, ...given }));
  expect(() => batchStages(prepared, factsOf(prepared.dataset))).toThrow(
    `--batch-growth: it replaces the rate cuts; omit ${option}`,
  );
});
