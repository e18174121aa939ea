// Runs that meet a lost device, NaN, a full disk or other data: what is said, and what is left to go on with.

import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { completeSpec } from "../../src/experiments/complete-spec.ts";
import { type ExecuteOptions, METRIC_COLUMNS } from "../../src/experiments/execute.ts";
import { type PreparedRun, prepareRun } from "../../src/experiments/prepare.ts";
import { resumeRun } from "../../src/experiments/resume.ts";
import { RunControl } from "../../src/experiments/run-control.ts";
import { runInFolder } from "../../src/experiments/run-in-folder.ts";
import type { RunSpecInput } from "../../src/experiments/run-spec.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { GpuSession } from "../../src/host/gpu-session.ts";
import { RunFolder } from "../../src/storage/run-folder.ts";
import { DataError, DeviceError, DivergenceError, StoppedError } from "../../src/support/errors.ts";
import { outcome } from "../support/kills.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-runs-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const SPEC: Partial<RunSpecInput> = {
  dataset: "synthetic:1x7x7:4:150:40",
  width: 24,
  hidden: 2,
  batchSize: 50,
  ghostSize: 10,
  maxSteps: 300,
  epochs: 1000,
  evaluateEvery: 3,
};
const environment = { command: "test", git: null, versions: {}, adapter: { name: "test" } };
const checkpoints = { every: { steps: 4 }, keep: 2 };

const lines: string[] = [];
const report = (line: string) => void lines.push(line);
let session: GpuSession;
let expected: string;

beforeAll(async () => {
  session = new GpuSession();
  const { path, done } = await start("undisturbed");
  await done;
  expected = outcome(path);
});

async function claim(name: string, configuration: object) {
  return RunFolder.claim({ runsDirectory, name, configuration, environment, columns: METRIC_COLUMNS });
}

/** Starts a run of its own folder. */
async function start(
  name: string,
  given: Partial<RunSpecInput> = {},
  options: ExecuteOptions = {},
  on = session,
) {
  lines.length = 0;
  const prepared = await prepareRun(completeSpec({ ...SPEC, ...given }));
  const folder = await claim(name, prepared.spec);
  const done = runInFolder(on, prepared, folder, { checkpoints, logEvery: 2, report, ...options });
  done.catch(() => undefined);
  return { path: folder.path, prepared, done };
}

async function goOn(
  { path, prepared }: { path: string; prepared: PreparedRun },
  options: ExecuteOptions = {},
) {
  const { folder, from } = await resumeRun(path, prepared, { environment, report });
  return runInFolder(session, prepared, folder, { checkpoints, logEvery: 2, report, ...options }, from);
}

/** Loses the device at the first progress after each of these steps. */
function losing(steps: number[]): {
  session: GpuSession;
  onProgress: NonNullable<ExecuteOptions["onProgress"]>;
} {
  let gpu: Gpu;
  const onOpen = (opened: Gpu) => {
    gpu = opened;
  };
  const onProgress = ({ step }: { step: number }) => {
    if (steps.length === 0 || step < steps[0]!) return;
    steps.shift();
    gpu.device.destroy();
  };
  return { session: new GpuSession({ onOpen }), onProgress };
}

describe("a lost device", () => {
  test("is told with the last kernel, and the run goes on from its checkpoint, with the same bits", async () => {
    const { session: on, onProgress } = losing([170]);
    const { path, done } = await start("lost-once", {}, { onProgress }, on);
    await done;
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^device lost after \S+\.wgsl: .*; going on from the checkpoint of step \d+ on a new device$/,
    );
    expect(outcome(path)).toBe(expected);
  });

  test("twice ends the run, which can be resumed", async () => {
    const { session: on, onProgress } = losing([90, 210]);
    const run = await start("lost-twice", {}, { onProgress }, on);
    await expect(run.done).rejects.toThrow(DeviceError);
    await expect(run.done).rejects.toThrow(
      /^device lost after .*; this was the second time, so the run stops: go on with: .*--resume/,
    );
    await goOn(run);
    expect(outcome(run.path)).toBe(expected);
  });

  test("before the first checkpoint begins again", async () => {
    const { session: on, onProgress } = losing([1]);
    const { path, done } = await start(
      "lost-early",
      {},
      { onProgress, checkpoints: { every: { steps: 1000 }, keep: 1 } },
      on,
    );
    await done;
    expect(lines[0]).toMatch(/going on from the start on a new device$/);
    expect(outcome(path)).toBe(expected);
  });
});

describe("numbers that are not finite", () => {
  // The first update throws the weights so far that the next forward pass overflows.
  const diverging = { learningRate: 1e30, clipNorm: 0, momentum: 0 };

  test("stop the run: step, kernel, layer, and the last good checkpoint", async () => {
    // Hundreds of ruined steps before anyone looks: none of them may be kept.
    const { path, done } = await start(
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
    const { done } = await start("diverged-early", diverging, {
      checkpoints: { every: { steps: 100 }, keep: 1 },
    });
    await expect(done).rejects.toThrow(/first produced in step 2 by .*; there was no checkpoint yet$/);
  });

  test("skip: the step changes nothing, the run goes on, and counts it", async () => {
    const { done } = await start("skipping", { ...diverging, onNan: "skip", maxSteps: 6 });
    const summary = await done.catch((error: Error) => error);
    // From step 2 on every step overflows, and nothing moves any more.
    expect(summary).toMatchObject({ steps: 6, skippedSteps: 5 });
    expect(
      lines.filter((line) => /^step \d skipped: loss \S+, gradient norm (NaN|Infinity)$/.test(line)),
    ).toHaveLength(5);
  });
});

describe("a run that is asked to stop", () => {
  test("does so after the step under way, and goes on to the same bits, however often", async () => {
    let run = null;
    for (const at of [3, 110, 112, 270]) {
      const control = new RunControl();
      const onProgress = ({ step }: { step: number }) => {
        if (step >= at) control.requestStop({ by: "test", exitCode: 99 });
      };
      if (run === null) run = await start("stopped", {}, { control, onProgress });
      const done: Promise<unknown> = at === 3 ? run.done : goOn(run, { control, onProgress });
      const error: unknown = await done.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(StoppedError);
      expect(error).toMatchObject({
        exitCode: 99,
        message: expect.stringMatching(/^stopped by test after step \d+ of 300; go on with: .*stopped$/),
      });
    }
    await goOn(run!);
    expect(outcome(run!.path)).toBe(expected);
  });

  test("takes a checkpoint when asked, and goes on", async () => {
    const control = new RunControl();
    const folder = join(runsDirectory, "asked", "checkpoints");
    let seen: string[] = [];
    const onProgress = ({ step }: { step: number }) => {
      if (step === 10) control.requestCheckpoint();
      if (seen.length === 0 && existsSync(folder)) {
        seen = readdirSync(folder).filter((name) => /^last-\d+\.json$/.test(name));
      }
    };
    // Long enough for the checkpoint to be written beside the steps.
    const never = { every: { steps: Number.POSITIVE_INFINITY }, keep: 1 };
    const { done } = await start("asked", { maxSteps: 3000 }, { control, checkpoints: never, onProgress });
    expect(await done).toMatchObject({ steps: 3000 });
    expect(seen).toHaveLength(1);
  });
});

describe("going on", () => {
  async function stoppedRun(name: string) {
    const control = new RunControl();
    const run = await start(
      name,
      {},
      { control, onProgress: ({ step }) => step > 150 && control.requestStop({ by: "test", exitCode: 1 }) },
    );
    await expect(run.done).rejects.toThrow(StoppedError);
    return run;
  }

  test("with a disk that fills up: the error names it, and the checkpoint before serves", async () => {
    const handle = await open(runsDirectory, "r");
    await handle.close();
    const prototype = Object.getPrototypeOf(handle);
    const run = await start(
      "full",
      {},
      {
        onProgress: ({ step }) => {
          if (step < 200) return;
          vi.spyOn(prototype, "write").mockRejectedValue(
            Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }),
          );
        },
      },
    );
    await expect(run.done).rejects.toThrow(DataError);
    await expect(run.done).rejects.toThrow(/checkpoints.*: cannot write: the disk is full/);
    vi.restoreAllMocks();
    await goOn(run);
    expect(lines.some((line) => /^resuming .* after step \d+$/.test(line))).toBe(true);
    expect(outcome(run.path)).toBe(expected);
  });

  test("with other data is refused; on another adapter it is told", async () => {
    const run = await stoppedRun("other-data");
    const other = await prepareRun(completeSpec({ ...SPEC, dataset: "synthetic:1x7x7:4:160:40" }));
    const prepared = { ...run.prepared, dataset: other.dataset };
    await expect(goOn({ ...run, prepared })).rejects.toThrow(
      /the run began with other training data .* check --data-dir/,
    );
    lines.length = 0;
    await goOn(run);
    // The test says that its adapter is called "test".
    expect(lines.some((line) => /^warning: the run began with adapter .*the last bits/.test(line))).toBe(
      true,
    );
    expect(outcome(run.path)).toBe(expected);
  });

  test("twice at once: one of the two is refused", async () => {
    const run = await stoppedRun("twice");
    const first = await resumeRun(run.path, run.prepared, { environment, report });
    await expect(goOn(run)).rejects.toThrow(/process \d+ of .* writes it/);
    await runInFolder(session, run.prepared, first.folder, { checkpoints, logEvery: 2, report }, first.from);
    expect(outcome(run.path)).toBe(expected);
    await expect(goOn(run)).rejects.toThrow(/the run has finished/);
  });
});
