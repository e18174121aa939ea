// A tuned run continues with the tiles it started with, and ends with the same bits, even if nothing is tuned any more.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { prepareStep } from "../../src/bench/step.ts";
import { planRecording } from "../../src/gpu/recording.ts";
import { Tuning } from "../../src/gpu/tuning.ts";
import { GpuSession } from "../../src/host/node/gpu-session.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { RunControl } from "../../src/run/run-control.ts";
import { StoppedError } from "../../src/support/errors.ts";
import { FolderRuns } from "../support/folder-runs.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-tuned-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const SPEC = {
  model: "resnet8",
  dataset: "synthetic:3x32x32:4:40:8",
  batchSize: 8,
  ghostSize: 4,
  maxSteps: 12,
  width: undefined,
  hidden: undefined,
  evaluateEvery: 1000,
} as const;

/** For every question of a step, the last choice, which is never the default. */
async function otherChoices() {
  const gpu = await openGpu({ tuning: "off" });
  gpu.tuning = new Tuning();
  const { model, batchSize: batch, ghostSize } = SPEC;
  planRecording(gpu, prepareStep(gpu, { model, batch, ghostSize }).body);
  const several = gpu.tuning.questions.filter(({ ways }) => ways.length > 1);
  gpu.close();
  return Object.fromEntries(several.map(({ key, ways }) => [key, ways.at(-1)!]));
}

function weights(folder: string): string {
  return readFileSync(join(folder, "weights.safetensors")).toString("hex");
}

test("a tuned run that is resumed without tuning ends with the bits of the tuned run", async () => {
  const choices = await otherChoices();
  expect(Object.keys(choices).length).toBeGreaterThan(4);
  const tuned = new GpuSession({
    onOpen: (gpu) => {
      gpu.tuning = new Tuning(choices);
    },
  });
  const runs = new FolderRuns(runsDirectory);
  const whole = await runs.start("tuned", SPEC, {}, tuned);
  await whole.done;
  const untuned = await runs.start("untuned", SPEC);
  await untuned.done;
  const expected = weights(whole.path);
  expect(weights(untuned.path)).not.toBe(expected); // the choices change bits

  const control = new RunControl();
  const onProgress = ({ step }: { step: number }) => {
    if (step >= 6) control.requestStop({ by: "test", exitCode: 99 });
  };
  const stopped = await runs.start("stopped", SPEC, { control, onProgress }, tuned);
  await expect(stopped.done).rejects.toThrow(StoppedError);
  await runs.goOn(stopped);
  expect(weights(stopped.path)).toBe(expected);
});
