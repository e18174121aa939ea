// Runs with NaN and infinities: the message says where they came from, and what can be resumed.

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { Checkpointer } from "../../src/run/checkpointer.ts";
import { divergenceIn } from "../../src/run/divergence.ts";
import { prepareRun } from "../../src/run/prepare.ts";
import { RunControl } from "../../src/run/run-control.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { Tally } from "../../src/run/tally.ts";
import { DivergenceError } from "../../src/support/errors.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { FolderRuns, SPEC } from "../support/folder-runs.ts";
import { smallRun } from "../support/small-run.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-divergence-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const runs = new FolderRuns(runsDirectory);
const { lines } = runs;

describe("numbers that are not finite", () => {
  // The first update moves the weights so far that the next forward pass overflows.
  const diverging = { learningRate: 1e30, clipNorm: 0, momentum: 0 };

  test("stop the run: step, kernel, layer, and the last good checkpoint", async () => {
    // Hundreds of ruined steps before metrics are read: none of their checkpoints may be kept.
    const { path, done } = await runs.start(
      "diverged",
      { ...diverging, evaluateEvery: 1000 },
      {
        logEvery: 1000,
        checkpoints: { every: { steps: 1 }, keep: 2 },
      },
    );
    await expect(done).rejects.toThrow(DivergenceError);
    const message = await done.catch(({ message }: Error) => message);
    expect(message).toMatch(
      /^step 2: the loss is \S+ and the gradient norm (NaN|Infinity); first produced in step 2 by \S+\.wgsl, layer \S+ \(\w+, .+\]\); the run has diverged/,
    );
    expect(message).toMatch(/the last good checkpoint is .*last-1\.safetensors$/);
    expect(lines[0]).toMatch(/replaying from the checkpoint of step 1 to find its origin$/);
    expect(readdirSync(join(path, "checkpoints")).filter((name) => name.startsWith("last"))).toEqual([
      "last-1.json",
      "last-1.safetensors",
    ]);
    expect(readdirSync(path)).not.toContain("summary.json");
  });

  test("in the data are reported as such", async () => {
    const prepared = await prepareRun(completeSpec(SPEC));
    const normalization = { mean: [Number.NaN], standardDeviation: [0.5] };
    const dataset = { ...prepared.dataset, normalization };
    const { done } = await runs.startPrepared("nan-of-data", { ...prepared, dataset });
    const message = await done.catch((error: unknown) => (error as Error).message);
    expect(message).toMatch(
      /^step 1: the loss is NaN .*; first produced in step 1 by batch\/gather\.wgsl \(x, images .*\); the images are not finite after normalization/,
    );
    expect(message).not.toMatch(/learning rate|clip norm/);
  });

  test("are traced from the start if there is no checkpoint", async () => {
    const { done } = await runs.start("diverged-early", diverging, {
      checkpoints: { every: { steps: 100 }, keep: 1 },
    });
    await expect(done).rejects.toThrow(/first produced in step 2 by .*; there was no checkpoint yet$/);
  });

  test("skip: a run that skips every step ends", async () => {
    // Every gradient norm overflows, and the parameters stay as they are.
    const { done } = await runs.start("skipping-for-ever", { gradientNoise: 1e25, onNan: "skip" });
    await expect(done).rejects.toThrow(
      /^step 100: the loss is .*, after 99 skipped steps in a row; first produced in step 100 by/,
    );
  });

  test.each(["stop", "skip"] as const)(
    "only in parameters, on %s: the message names the update",
    async (onNan) => {
      // Finite gradients, but an update beyond the largest f32.
      const { done } = await runs.start(`overflow-${onNan}`, {
        ...diverging,
        learningRate: 3e38,
        weightDecay: 1000,
        onNan,
      });
      await expect(done).rejects.toThrow(
        /first produced in step 1 by sgd\/momentum\.wgsl, layer layers\.\d+ \(value, parameters \[\d+\]\); the run has diverged/,
      );
    },
  );

  test("skip: the step changes nothing, and the run continues and counts it", async () => {
    // With this noise some gradient norms overflow; the others are clipped.
    const { done } = await runs.start("skipping", { gradientNoise: 2e19, onNan: "skip", maxSteps: 12 });
    const { steps, skippedSteps, testLoss } = await done;
    expect(steps).toBe(12);
    expect(skippedSteps).toBeGreaterThan(0);
    expect(skippedSteps).toBeLessThan(12);
    expect(testLoss).toBeLessThan(100);
    expect(
      lines.filter((line) => /^step \d+ skipped: the loss is \S+ and the gradient norm \S+$/.test(line)),
    ).toHaveLength(skippedSteps);
  });

  test.each(["stop", "skip"] as const)(
    "only in measurements, on %s: finite parameters that are too large to compute with",
    async (onNan) => {
      const { path, done } = await runs.start(`distance-${onNan}`, { ...diverging, maxSteps: 1, onNan });
      await expect(done).rejects.toThrow(DivergenceError);
      await expect(done).rejects.toThrow(
        /^after step 1: the distance from the start is Infinity; every parameter is finite, .*; the run has diverged/,
      );
      expect(readdirSync(path)).not.toContain("summary.json");
      const evaluation = { step: 9, epoch: 3, accuracy: 50, accuracyTop5: 90, samples: 40 };
      const options = { onNan, tally: new Tally(), report: runs.report };
      expect(divergenceIn({ ...evaluation, kind: "evaluation", loss: 1 }, options)).toBeNull();
      expect(divergenceIn({ ...evaluation, kind: "evaluation", loss: Number.NaN }, options)).toMatchObject({
        what: "the evaluation after step 9: the test loss is NaN",
        isInSteps: false,
      });
    },
  );

  test("only in running statistics: they are counted", async () => {
    const gpu = await openGpu();
    const { state, data, options } = smallRun(gpu);
    const trainer = await Trainer.create(gpu, state, data, options);
    expect(await trainer.countNonFinite()).toBe(0);
    const { runningVariance } = state.normState!;
    // An infinite variance makes a normalized value 0, so neither loss nor gradients would show it.
    gpu.write(runningVariance, new Float32Array(runningVariance.size).fill(Number.POSITIVE_INFINITY));
    expect(await trainer.countNonFinite()).toBe(runningVariance.size);
  });

  // Hundreds of ruined steps before metrics are read.
  const unread = { logEvery: 1000, checkpoints: { every: { steps: 1 }, keep: 2 } };

  test("in a run that is asked to stop: it has diverged and is not offered for resuming", async () => {
    const control = new RunControl();
    let asked = 0;
    vi.spyOn(control, "stop", "get").mockImplementation(() =>
      ++asked > 8 ? { by: "test", exitCode: 99 } : null,
    );
    const { done } = await runs.start(
      "stopped",
      { ...diverging, evaluateEvery: 1000 },
      { ...unread, control },
    );
    await expect(done).rejects.toThrow(DivergenceError);
    await expect(done).rejects.toThrow(
      /^after step \d: parameters, .* are NaN or infinite; its origin was not searched for: test; the run has diverged/,
    );
    expect(lines).toEqual([]);
  });

  test("a request to stop during the replay ends it", async () => {
    const control = new RunControl();
    const report = (line: string) => {
      if (/: replaying from /.test(line)) control.requestStop({ by: "test", exitCode: 99 });
    };
    const { done } = await runs.start("impatient", diverging, { control, report });
    await expect(done).rejects.toThrow(/^step 2: the loss is .*; its origin was not searched for: test; /);
  });

  test("are reported even if the checkpoints are damaged", async () => {
    const folder = join(runsDirectory, "damaged", "checkpoints");
    // After all writes, and before the search for the last good checkpoint.
    const { settle } = Checkpointer.prototype;
    vi.spyOn(Checkpointer.prototype, "settle").mockImplementation(async function (this: Checkpointer) {
      await settle.call(this);
      for (const name of readdirSync(folder)) writeFileSync(join(folder, name), "damaged");
    });
    const { done } = await runs.start("damaged", { ...diverging, evaluateEvery: 1000 }, unread);
    await expect(done).rejects.toThrow(DivergenceError);
    await expect(done).rejects.toThrow(
      /^step 2: the loss is .*; its origin was not searched for; the run has diverged .*; no usable checkpoint: .*last-1\.(json|safetensors): damaged/,
    );
  });
});
