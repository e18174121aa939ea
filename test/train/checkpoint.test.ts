// A run that is cut at any step and continued in a new trainer equals the undisturbed run, bit for bit.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { DataError } from "../../src/support/errors.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import { isFiniteState, type Position, START, type StateTensors } from "../../src/train/checkpoint.ts";
import { type TrainEvent, Trainer } from "../../src/train/trainer.ts";
import { type SmallRunOptions, smallRun } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const STEPS = 11;

interface Part {
  readonly trainer: Trainer;
  readonly events: TrainEvent[];
  /** Where it stopped; null if it reached its end. */
  readonly kept: { position: Position; tensors: StateTensors } | null;
}

/** Trains from `from` until `stopAfter` steps are done. The state is copied while `ahead` further steps run. */
async function trainPart(
  options: SmallRunOptions,
  from: Part["kept"],
  stopAfter = STEPS + 1,
  ahead = 0,
): Promise<Part> {
  const run = smallRun(gpu, { batchSize: 32, ghostSize: 8, maxSteps: STEPS, ...options });
  const trainer = await Trainer.create(gpu, run.state, run.data, { ...run.options, evaluateEvery: 2 });
  if (from) trainer.keeper.restore(from.tensors, "test");
  const events: TrainEvent[] = [];
  let position = START;
  let tensors: Promise<StateTensors> | null = null;
  const afterStep = (now: Position) => {
    if (now.step === stopAfter) [position, tensors] = [now, trainer.keeper.take()];
    return now.step < stopAfter + ahead;
  };
  for await (const event of trainer.run(from?.position, afterStep)) {
    if (tensors === null) events.push(event);
  }
  return {
    trainer,
    events,
    kept: tensors && { position, tensors: await (tensors as Promise<StateTensors>) },
  };
}

async function finalState({ trainer: { state } }: Part) {
  const { values, velocity, normState } = state;
  return Promise.all([values, velocity, normState!.runningMean, normState!.runningVariance].map(readFloats));
}

/** The events of each step, independent of read-backs. */
function byStep(events: readonly TrainEvent[]) {
  return events.flatMap((event): unknown[] =>
    event.kind === "metrics"
      ? [...event.steps, ...event.distances.map((distance) => ({ distance }))]
      : [event],
  );
}

describe.each(["authors", "exact", "drop", "wrap"] as const)("partial batches: %s", (partial) => {
  test("cut once after one of several steps, and after every step", async () => {
    const whole = await trainPart({ partial, logEvery: 4 }, null);
    const expected = { events: byStep(whole.events), state: await finalState(whole) };
    for (const stopAfter of [1, 3, 4, 5, 9]) {
      const first = await trainPart({ partial, logEvery: 4 }, null, stopAfter, 3);
      const second = await trainPart({ partial, logEvery: 4 }, first.kept);
      expect(byStep([...first.events, ...second.events])).toEqual(expected.events);
      expect(await finalState(second)).toEqual(expected.state);
    }
    let part = await trainPart({ partial, logEvery: 4 }, null, 1);
    const events = [...part.events];
    for (let stopAfter = 2; stopAfter <= STEPS; stopAfter++) {
      part = await trainPart({ partial, logEvery: 4 }, part.kept, stopAfter);
      events.push(...part.events);
    }
    expect(byStep(events)).toEqual(expected.events);
    expect(await finalState(part)).toEqual(expected.state);
  });
});

test("measurements do not depend on how often they are read back, which may change when a run is resumed", async () => {
  const runs = [];
  for (const logEvery of [1, 3, 1024]) runs.push(byStep((await trainPart({ logEvery }, null)).events));
  const sorted = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).sort();
  expect(sorted(runs[1]!)).toEqual(sorted(runs[0]!));
  expect(sorted(runs[2]!)).toEqual(sorted(runs[0]!));
  const first = await trainPart({ logEvery: 1024 }, null, 7);
  const second = await trainPart({ logEvery: 2 }, first.kept);
  expect(sorted(byStep([...first.events, ...second.events]))).toEqual(sorted(runs[0]!));
});

test("a state of another model is refused, and one that is not finite is recognized", async () => {
  const { kept, trainer } = await trainPart({}, null, 2);
  expect(isFiniteState(kept!.tensors)).toBe(true);
  const short = new Map(kept!.tensors).set("velocity", new Float32Array(3));
  expect(() => trainer.keeper.restore(short, "last-2")).toThrow(DataError);
  expect(() => trainer.keeper.restore(short, "last-2")).toThrow(
    /^last-2: expected \d+ values of velocity, found 3$/,
  );
  for (const [name, value] of [
    ["values", Number.NaN],
    ["velocity", Number.POSITIVE_INFINITY],
    ["running_variance", Number.NEGATIVE_INFINITY],
  ] as const) {
    const bad = kept!.tensors.get(name)!.slice();
    bad[bad.length - 1] = value;
    expect(isFiniteState(new Map(kept!.tensors).set(name, bad))).toBe(false);
  }
});

test("a restarted trainer behaves like a new one", async () => {
  const part = await trainPart({}, null, 6);
  const { trainer } = part;
  trainer.keeper.restart();
  const events: TrainEvent[] = [];
  for await (const event of trainer.run()) events.push(event);
  const fresh = await trainPart({}, null);
  expect(byStep(events)).toEqual(byStep(fresh.events));
  expect(await finalState(part)).toEqual(await finalState(fresh));
});

test("returned memory holds the next state, and until then its old contents", async () => {
  const { state, data, options } = smallRun(gpu, { batchSize: 32, ghostSize: 8, maxSteps: STEPS });
  const { keeper } = await Trainer.create(gpu, state, data, options);
  const first = await keeper.take();
  const before = first.get("values")!.slice();
  gpu.write(state.values, new Float32Array(state.values.size).fill(1));
  const second = await keeper.take();
  expect(first.get("values")).toEqual(before);
  expect(new Set(second.get("values"))).toEqual(new Set([1]));
  keeper.giveBack(first);
  gpu.write(state.values, new Float32Array(state.values.size).fill(2));
  expect(await keeper.take()).toBe(first);
  expect(new Set(first.get("values"))).toEqual(new Set([2]));
  expect(new Set(second.get("values"))).toEqual(new Set([1]));
});
