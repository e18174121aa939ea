// Runs that meet NaN and infinities: what is said of where they came from, and what is left to go on with.

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { DivergenceError } from "../../src/support/errors.ts";
import { FolderRuns } from "../support/folder-runs.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-divergence-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const runs = new FolderRuns(runsDirectory);
const { lines } = runs;

describe("numbers that are not finite", () => {
  // The first update throws the weights so far that the next forward pass overflows.
  const diverging = { learningRate: 1e30, clipNorm: 0, momentum: 0 };

  test("stop the run: step, kernel, layer, and the last good checkpoint", async () => {
    // Hundreds of ruined steps before anyone looks: none of them may be kept.
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
    expect(lines[0]).toMatch(/replaying from the checkpoint of step 1 to find where it began$/);
    expect(readdirSync(join(path, "checkpoints")).filter((name) => name.startsWith("last"))).toEqual([
      "last-1.json",
      "last-1.safetensors",
    ]);
    expect(readdirSync(path)).not.toContain("summary.json");
  });

  test("are found from the start where there is no checkpoint", async () => {
    const { done } = await runs.start("diverged-early", diverging, {
      checkpoints: { every: { steps: 100 }, keep: 1 },
    });
    await expect(done).rejects.toThrow(/first produced in step 2 by .*; there was no checkpoint yet$/);
  });

  test("skip: a run in which nothing changes any more ends", async () => {
    const { done } = await runs.start("skipping-for-ever", { ...diverging, onNan: "skip" });
    await expect(done).rejects.toThrow(
      /^step 101: the loss is .*, after 99 skipped steps in a row; first produced in step 101 by/,
    );
  });

  test.each(["stop", "skip"] as const)(
    "in parameters alone, on %s: the update that made them",
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

  test("skip: the step changes nothing, the run goes on, and counts it", async () => {
    const { done } = await runs.start("skipping", { ...diverging, onNan: "skip", maxSteps: 6 });
    const summary = await done.catch((error: Error) => error);
    // From step 2 on every step overflows, and nothing moves any more.
    expect(summary).toMatchObject({ steps: 6, skippedSteps: 5 });
    expect(
      lines.filter((line) =>
        /^step \d skipped: the loss is \S+ and the gradient norm (NaN|Infinity)$/.test(line),
      ),
    ).toHaveLength(5);
  });
});
