// Runs with a lost device, a full disk or different data: the messages, and what can be resumed.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { prepareRun } from "../../src/run/prepare.ts";
import { resumeRun } from "../../src/run/resume.ts";
import { RunControl } from "../../src/run/run-control.ts";
import { runInFolder } from "../../src/run/run-in-folder.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { runOnce } from "../../src/run/runner.ts";
import { CheckpointFolder, type CheckpointName } from "../../src/storage/checkpoint-file.ts";
import { CapacityError, DataError, DeviceError, StoppedError } from "../../src/support/errors.ts";
import { checkpoints, environment, FolderRuns, losing, SPEC } from "../support/folder-runs.ts";
import { outcome } from "../support/kills.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-runs-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const runs = new FolderRuns(runsDirectory);
const { lines, report, session } = runs;
let expected: string;

afterEach(() => {
  vi.restoreAllMocks();
});
beforeAll(async () => {
  const { path, done } = await runs.start("undisturbed");
  await done;
  expected = outcome(path);
});

/** The complete checkpoints. */
function checkpointsOf(path: string): string[] {
  const folder = join(path, "checkpoints");
  return existsSync(folder) ? readdirSync(folder).filter((name) => /^last-\d+\.safetensors$/.test(name)) : [];
}

describe("a lost device", () => {
  test("is reported with the last kernel, and the run continues from its checkpoint with the same bits", async () => {
    const { session: on, onProgress } = losing([170]);
    const { path, done } = await runs.start("lost-once", {}, { onProgress }, on);
    await done;
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(
      /^device lost after (sgd\/momentum|non-finite\/count)\.wgsl: .*; continuing from the checkpoint of step \d+ on a new device$/,
    );
    expect(outcome(path)).toBe(expected);
  });

  test("twice ends the run, which can be resumed", async () => {
    const { session: on, onProgress } = losing([90, 210]);
    const run = await runs.start("lost-twice", {}, { onProgress }, on);
    await expect(run.done).rejects.toThrow(DeviceError);
    await expect(run.done).rejects.toThrow(
      /^device lost after .*; this was the second time, so the run stops; continue with: .*--resume/,
    );
    await runs.goOn(run);
    expect(outcome(run.path)).toBe(expected);
  });

  test("before the first checkpoint starts the run again", async () => {
    const { session: on, onProgress } = losing([1]);
    const { path, done } = await runs.start(
      "lost-early",
      {},
      { onProgress, checkpoints: { every: { steps: 1000 }, keep: 1 } },
      on,
    );
    await done;
    expect(lines[0]).toMatch(/continuing from the start on a new device$/);
    expect(outcome(path)).toBe(expected);
  });
});

describe("a run that is asked to stop", () => {
  test("stops after the current step and ends with the same bits, however often", async () => {
    let run = null;
    for (const at of [3, 110, 112, 270]) {
      const control = new RunControl();
      const onProgress = ({ step }: { step: number }) => {
        if (step >= at) control.requestStop({ by: "test", exitCode: 99 });
      };
      if (run === null) run = await runs.start("stopped", {}, { control, onProgress });
      const done: Promise<unknown> = at === 3 ? run.done : runs.goOn(run, { control, onProgress });
      const error: unknown = await done.catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(StoppedError);
      expect(error).toMatchObject({
        exitCode: 99,
        message: expect.stringMatching(/^stopped by test after step \d+ of 300; continue with: .*stopped$/),
      });
    }
    await runs.goOn(run!);
    expect(outcome(run!.path)).toBe(expected);
  });

  test("writes a checkpoint when asked, and continues", async () => {
    const control = new RunControl();
    const path = join(runsDirectory, "asked");
    let seen: string[] = [];
    const onProgress = ({ step }: { step: number }) => {
      if (step === 10) control.requestCheckpoint();
      // The checkpoint is written during further steps, however many it takes.
      if (seen.length > 0) control.requestStop({ by: "test", exitCode: 1 });
      else seen = checkpointsOf(path);
    };
    const never = { every: { steps: Number.POSITIVE_INFINITY }, keep: 1 };
    const { done } = await runs.start(
      "asked",
      { maxSteps: 1_000_000, epochs: 1_000_000 },
      { control, checkpoints: never, onProgress },
    );
    const error: unknown = await done.catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(StoppedError);
    expect(seen).toHaveLength(1);
    const numberIn = (text: string) => Number(text.match(/\d+/)![0]);
    expect(numberIn(String(error))).toBeGreaterThan(numberIn(seen[0]!));
  });
});

describe("resuming", () => {
  async function stoppedRun(name: string) {
    const control = new RunControl();
    const run = await runs.start(
      name,
      {},
      { control, onProgress: ({ step }) => step > 150 && control.requestStop({ by: "test", exitCode: 1 }) },
    );
    await expect(run.done).rejects.toThrow(StoppedError);
    return run;
  }

  test("after a full disk: the error names it, and the previous checkpoint is used", async () => {
    const handle = await open(runsDirectory, "r");
    await handle.close();
    const prototype = Object.getPrototypeOf(handle);
    const run = await runs.start(
      "full",
      {},
      {
        // After the first checkpoint, early enough for the next to be written before the run ends.
        onProgress: () => {
          if (checkpointsOf(join(runsDirectory, "full")).length === 0) return;
          vi.spyOn(prototype, "write").mockRejectedValue(
            Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }),
          );
        },
      },
    );
    await expect(run.done).rejects.toThrow(DataError);
    await expect(run.done).rejects.toThrow(/checkpoints.*: cannot write: the disk is full/);
    vi.restoreAllMocks();
    await runs.goOn(run);
    expect(lines.some((line) => /^resuming .* after step \d+$/.test(line))).toBe(true);
    expect(outcome(run.path)).toBe(expected);
  });

  test("with other data is refused; another adapter gives a warning", async () => {
    const run = await stoppedRun("other-data");
    const other = await prepareRun(completeSpec({ ...SPEC, dataset: "synthetic:1x7x7:4:160:40" }));
    const prepared = { ...run.prepared, dataset: other.dataset };
    await expect(runs.goOn({ ...run, prepared })).rejects.toThrow(
      /the run started with different training data .* check --data-dir/,
    );
    lines.length = 0;
    await runs.goOn(run);
    // The run's record names an adapter "test".
    expect(lines.some((line) => /^warning: the run started with adapter .*the last bits/.test(line))).toBe(
      true,
    );
    expect(outcome(run.path)).toBe(expected);
  });

  test("past a damaged newest checkpoint, which no longer counts as the newest", async () => {
    const run = await stoppedRun("damaged");
    const files = new CheckpointFolder(run.path);
    const [newest, before] = await files.list("last");
    writeFileSync(join(files.path, `last-${newest!.step}.json`), "damaged");
    const control = new RunControl();
    const onProgress = () => control.requestStop({ by: "test", exitCode: 1 });
    // Stops before the damaged one's step, and keeps one checkpoint.
    const checkpoints = { every: { steps: 1000 }, keep: 1 };
    await expect(runs.goOn(run, { control, onProgress, logEvery: 1, checkpoints })).rejects.toThrow(
      StoppedError,
    );
    expect(await files.list("last")).toEqual([{ kind: "last", step: before!.step + 1 }]);
    await runs.goOn(run);
    expect(outcome(run.path)).toBe(expected);
  });

  test("with truncated metrics, from the newest checkpoint that they cover", async () => {
    const run = await stoppedRun("cut");
    const files = new CheckpointFolder(run.path);
    const [newest, before] = await files.list("last");
    const [newestLength, lengthBefore] = [newest!, before!].map(({ step }): number => {
      const record = JSON.parse(readFileSync(join(files.path, `last-${step}.json`), "utf8"));
      return record.checkpoint.metrics.lines;
    });
    const metrics = join(run.path, "metrics.jsonl");
    const whole = readFileSync(metrics);
    truncateSync(metrics, 1);
    await expect(runs.goOn(run)).rejects.toThrow(
      /no usable checkpoint: .*its metrics are gone: .*metrics\.jsonl: expected a line that ends at byte .*delete the run's folder/,
    );
    writeFileSync(metrics, whole.subarray(0, lengthBefore));
    await runs.goOn(run);
    expect(
      lines.some((line) => line.endsWith(`; using the checkpoint before it, of step ${before!.step}`)),
    ).toBe(newestLength! > lengthBefore!);
    expect(outcome(run.path)).toBe(expected);
  });

  test("with an edited config.yaml is refused, with the difference", async () => {
    const run = await stoppedRun("edited");
    const spec = { ...run.prepared.spec, batchSize: 25 };
    await expect(runs.goOn({ ...run, prepared: { ...run.prepared, spec } })).rejects.toThrow(
      /last-\d+\.safetensors: belongs to a run with different options from config\.yaml: batchSize is 25, and was 50; restore config\.yaml/,
    );
  });

  test("with damaged best weights gives a warning, and removes them", async () => {
    const run = await stoppedRun("lost-best");
    const files = new CheckpointFolder(run.path);
    const [{ step }] = (await files.list("best")) as [CheckpointName];
    const path = join(files.path, `best-${step}.safetensors`);
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] = bytes[bytes.length - 1]! ^ 1;
    writeFileSync(path, bytes);
    await runs.goOn(run);
    expect(lines[0]).toMatch(
      new RegExp(`^warning: .*best-${step}\\.safetensors: damaged: .*after step ${step}, are lost`),
    );
    expect(existsSync(path)).toBe(false);
    expect(existsSync(join(run.path, "summary.json"))).toBe(true);
  });

  test("a stopped cell of an experiment continues, and a finished one is not run again", async () => {
    const spec = completeSpec(SPEC);
    const options = { runsDirectory, command: "test", checkpoints, logEvery: 2, report };
    const control = new RunControl();
    const onProgress = ({ step }: { step: number }) => {
      if (step > 150) control.requestStop({ by: "test", exitCode: 1 });
    };
    await expect(runOnce(session, spec, "cell", { ...options, control, onProgress })).rejects.toThrow(
      StoppedError,
    );
    lines.length = 0;
    const finished = await runOnce(session, spec, "cell", options);
    expect(lines.some((line) => /^resuming .*cell-seed123-\w+ after step 1\d\d$/.test(line))).toBe(true);
    expect(outcome(finished.folder)).toBe(expected);
    expect(await runOnce(session, spec, "cell", options)).toEqual({ ...finished, reused: true });
    expect(await runOnce(session, spec, "other-experiment", options)).toEqual({ ...finished, reused: true });
    const other = await runOnce(session, { ...spec, seed: 7, maxSteps: 2 }, "cell", options);
    expect(other.folder).not.toBe(finished.folder);
  });

  test("twice at once: one of the two is refused", async () => {
    const run = await stoppedRun("twice");
    const first = await resumeRun(run.path, run.prepared, { environment, report });
    await expect(runs.goOn(run)).rejects.toThrow(/in use by process \d+ on/);
    await runInFolder(session, run.prepared, first.folder, { checkpoints, logEvery: 2, report }, first.from);
    expect(outcome(run.path)).toBe(expected);
    await expect(runs.goOn(run)).rejects.toThrow(/the run has finished/);
  });
});

test("a TensorBoard file that cannot be written does not end a finished run", async () => {
  const { path, done } = await runs.start(
    "no-tensorboard",
    { maxSteps: 3 },
    // A folder cannot be removed like an old file.
    {
      onProgress: () =>
        mkdirSync(join(runsDirectory, "no-tensorboard", "events.out.tfevents.1"), { recursive: true }),
    },
  );
  expect(await done).toMatchObject({ steps: 3 });
  expect(lines).toEqual([expect.stringMatching(/^warning: .*events\.out\.tfevents\.1: cannot delete/)]);
  expect(existsSync(join(path, "summary.json"))).toBe(true);
});

test("a run that does not fit the adapter is refused before its folder is created", async () => {
  const spec = completeSpec({ ...SPEC, width: 20_000, hidden: 1, memory: 1 });
  const before = readdirSync(runsDirectory);
  await expect(runOnce(session, spec, "too-large", { runsDirectory, command: "test" })).rejects.toThrow(
    CapacityError,
  );
  expect(readdirSync(runsDirectory)).toEqual(before);
});
