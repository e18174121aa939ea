// Runs on several ranks, all in this process: the same result for any number of ranks, and one decision if something goes wrong.
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { GpuSession } from "../../src/host/node/gpu-session.ts";
import { type PreparedRun, prepareRun } from "../../src/run/prepare.ts";
import { agreedControl, isKnownToAll } from "../../src/run/ranks.ts";
import { RunControl } from "../../src/run/run-control.ts";
import { completeSpec, type RunSpecInput } from "../../src/run/run-spec.ts";
import { type RunPlace, readyRun, startFollowing, startRun } from "../../src/run/runner.ts";
import { DivergenceError, EndedElsewhereError, StoppedError, UsageError } from "../../src/support/errors.ts";
import { checkpoints, FolderRuns, SPEC } from "../support/folder-runs.ts";
import { outcome } from "../support/kills.ts";
import { localRanks } from "../support/local-ranks.ts";

const runsDirectory = mkdtempSync(join(tmpdir(), "ghostbatch-ranks-"));
afterAll(() => rmSync(runsDirectory, { recursive: true }));

const runs = new FolderRuns(runsDirectory);
const { report, lines } = runs;
/** A device for each rank. */
const sessions = Array.from({ length: 4 }, () => new GpuSession());

/** 150 images in batches of 50, ghosts of 10: four shards of one or two ghosts. */
const SHARDED = { ...SPEC, shards: 4, maxSteps: 24 } as const;

interface RankOptions {
  /** Changes what a rank is given. */
  readonly prepared?: (prepared: PreparedRun, rank: number) => PreparedRun;
  /** Called with the control of each rank after every step. */
  readonly onStep?: (control: RunControl, rank: number, step: number) => void;
}

/** Starts a run on some ranks. @returns how each of them ended */
async function startRanks(
  size: number,
  place: RunPlace,
  given: RunSpecInput,
  { prepared = (same) => same, onStep = () => undefined }: RankOptions = {},
) {
  // A launcher ends ranks that wait for one that has failed alone.
  let failAlone = (_: unknown) => {};
  const failedAlone = new Promise<never>((_, reject) => {
    failAlone = reject;
  });
  const all = localRanks(size).map(async (communicator, rank) => {
    const session = sessions[rank]!;
    const local = new RunControl();
    const { control, votes } = agreedControl(local, communicator);
    let steps = 0;
    const counted = (cast: Uint32Array) => {
      votes.counted(cast);
      onStep(local, rank, ++steps);
    };
    const ranks = { communicator, votes: { ...votes, counted } };
    try {
      const ready = await readyRun(session, completeSpec(given));
      const own = { ...ready, prepared: prepared(ready.prepared, rank) };
      if (rank > 0) return await startFollowing(session, own, { ranks, control, logEvery: undefined });
      return await startRun(session, own, place, { command: "test", ranks, control, checkpoints, report });
    } catch (error) {
      if (!isKnownToAll(error)) failAlone(error);
      throw error;
    }
  });
  return Promise.race([failedAlone, Promise.allSettled(all)]);
}

const newRun = (name: string): RunPlace => ({ runsDirectory, name });
const reasons = (results: readonly PromiseSettledResult<unknown>[]) =>
  results.map((result) => (result.status === "rejected" ? result.reason : null));

/** The result of a finished run, without what depends on the number of processes. */
function left(name: string): Record<string, unknown> {
  const all = JSON.parse(outcome(join(runsDirectory, name)));
  const { dispatchesPerStep: _, ...summary } = all.summary;
  return { ...all, summary };
}

/** Names of the parts in which two results differ. */
function differing(found: Record<string, unknown>, expected: Record<string, unknown>): string[] {
  return Object.keys(expected).filter(
    (part) => JSON.stringify(found[part]) !== JSON.stringify(expected[part]),
  );
}

async function finished(size: number, name: string, given: RunSpecInput) {
  expect(reasons(await startRanks(size, newRun(name), given))).toEqual(new Array(size).fill(null));
  return left(name);
}

describe("1, 2 and 4 ranks leave the same files", () => {
  test("a growing batch, with re-estimated running statistics", async () => {
    const growing = {
      ...SPEC,
      dataset: "synthetic:1x7x7:4:410:40",
      batchSize: 8,
      ghostSize: 4,
      baseRegime: "f1-small",
      epochs: undefined,
      epochScale: 0.1,
      batchGrowth: true,
      maxSteps: 60,
      evaluateEvery: 1,
      reestimateStatistics: 3,
      shards: 4,
    } as const;
    const alone = await finished(1, "growing-1", growing);
    expect(differing(await finished(2, "growing-2", growing), alone)).toEqual([]);
    expect(differing(await finished(4, "growing-4", growing), alone)).toEqual([]);
  });

  test.each(["f32", "mixed"] as const)(
    "a network of convolutions, with augmentation, %s",
    async (precision) => {
      const resnet = {
        precision,
        dataset: "synthetic:3x8x8:4:72:16",
        model: "resnet8",
        batchSize: 32,
        ghostSize: 8,
        epochs: 2,
        shards: 4,
      } as const;
      const alone = await finished(1, `${precision}-1`, resnet);
      expect(differing(await finished(4, `${precision}-4`, resnet), alone)).toEqual([]);
    },
  );
});

test("a signal to one rank stops all after the same step, and the run continues with other numbers of ranks", async () => {
  const expected = await finished(1, "undisturbed", SHARDED);
  const stopAt = (at: number, by: number) => ({
    onStep: (control: RunControl, rank: number, step: number) => {
      if (rank === by && step === at) control.requestStop({ by: "SIGUSR2", exitCode: 140 });
    },
  });
  const first = reasons(await startRanks(4, newRun("stopped"), SHARDED, stopAt(5, 3)));
  const unfinished = join(runsDirectory, "stopped");
  expect(first[0]).toBeInstanceOf(StoppedError);
  expect(first[0]).toMatchObject({
    exitCode: 140,
    message: expect.stringMatching(
      /^stopped by SIGUSR2 on rank 3 \(here\) after step 6 of 24; continue with/,
    ),
  });
  for (const reason of first.slice(1)) expect(reason).toBeInstanceOf(EndedElsewhereError);
  expect(readdirSync(join(unfinished, "checkpoints"))).toContain("last-6.safetensors");

  const second = reasons(await startRanks(2, { unfinished }, SHARDED, stopAt(7, 0)));
  expect(second[0]).toMatchObject({ message: expect.stringMatching(/^stopped by SIGUSR2 after step 14/) });
  expect(reasons(await startRanks(1, { unfinished }, SHARDED))).toEqual([null]);
  expect(differing(left("stopped"), expected)).toEqual([]);
});

describe("a fault on one rank", () => {
  /** A data set whose images are NaN on the last of two ranks. */
  const nanOnLast = (prepared: PreparedRun, rank: number): PreparedRun => {
    if (rank === 0) return prepared;
    const normalization = { mean: [Number.NaN], standardDeviation: [1] };
    return { ...prepared, dataset: { ...prepared.dataset, normalization } };
  };

  test("NaN on the last rank ends all ranks, and is traced to it", async () => {
    const results = reasons(
      await startRanks(2, newRun("nan"), { ...SHARDED, shards: 2 }, { prepared: nanOnLast }),
    );
    expect(results[0]).toBeInstanceOf(DivergenceError);
    expect(results[0].message).toMatch(
      /^step 1: the loss is NaN .*; first produced in step 1 by batch\/gather\.wgsl.* on rank 1 \(here\); the images are not finite/,
    );
    expect(results[1]).toBeInstanceOf(EndedElsewhereError);
  });

  test("NaN on the last rank is skipped by all ranks", async () => {
    const given = { ...SHARDED, shards: 2, onNan: "skip", maxSteps: 3, epochs: 1 } as const;
    lines.length = 0;
    const results = await startRanks(2, newRun("skipped"), given, { prepared: nanOnLast });
    // The last rank does half of the evaluation, which cannot be skipped.
    expect(reasons(results)[0].message).toMatch(/^the evaluation after step 3: the test loss is NaN/);
    expect(lines.filter((line) => /^step [123] skipped/.test(line))).toHaveLength(3);
  });

  test("a different specification is named before the first step", async () => {
    const other = await prepareRun(completeSpec({ ...SHARDED, dataset: "synthetic:1x7x7:4:150:41" }));
    const results = reasons(
      await startRanks(2, newRun("other-data"), SHARDED, {
        prepared: (prepared, rank) => (rank === 0 ? prepared : { ...prepared, spec: other.spec }),
      }),
    );
    expect(results[0]).toBeInstanceOf(UsageError);
    expect(results[0].message).toMatch(
      /^ranks: run specification of rank 1 \(here\) is "\w+", but "\w+" on rank 0/,
    );
    expect(results[1]).toBeInstanceOf(EndedElsewhereError);
  });
});
