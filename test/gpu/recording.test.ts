// Record once, replay: what src/gpu/recording.ts promises, on a whole training step.

import { beforeAll, describe, expect, test, vi } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { Arena, planRecording, record } from "../../src/gpu/recording.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchAdd } from "../../src/kernels/elementwise.ts";
import { F1 } from "../../src/models/f1.ts";
import { materialize } from "../../src/nn/model-state.ts";
import { empty, fromArray, persistent, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import { partitionBatch } from "../../src/train/ghosts.ts";
import { StepUniform } from "../../src/train/step-uniform.ts";
import { Trainer } from "../../src/train/trainer.ts";
import { gatherTraining, trainingStep } from "../../src/train/training-step.ts";
import { smallRun } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

test("a replayed step gives the bits of an eager one", async () => {
  const results: Float32Array[][] = [];
  for (const how of ["eager", "replayed"]) {
    const { state, data, options } = smallRun(gpu, { ghostSize: 15 });
    const step = new StepUniform(gpu);
    const order = fromArray(
      gpu,
      Uint32Array.from({ length: 150 }, (_, i) => (i * 7) % 150),
    );
    const tensors = { order, log: persistent(gpu, [8, 8]), step: step.tensor };
    const input = gatherTraining(state, data, tensors, true);
    const body = () =>
      trainingStep(state, tensors, options.epoch.full!, { slabSamples: 33, running: options.running, input });
    const run =
      how === "eager"
        ? () => gpu.scope(body)
        : await record(gpu, new Arena(gpu), "step", body).then((r) => () => r.replay());
    for (let i = 0; i < 3; i++) {
      const values = { learningRate: 0.1, momentum: 0.9, weightDecay: 1e-4, clipNorm: 1, seed: 3, epoch: 0 };
      step.write({ ...values, step: i, firstSample: i * 4 });
      run();
    }
    const { runningMean, runningVariance } = state.normState!;
    results.push(
      await Promise.all(
        [state.values, state.velocity, tensors.log, runningMean, runningVariance].map(readFloats),
      ),
    );
  }
  expect(results[1]).toEqual(results[0]);
  expect(results[0]![0]!.some((value) => value !== 0)).toBe(true);
});

test("a tensor that was freed is not replayed: others may have its memory now", async () => {
  const [x, y] = [empty(gpu, [4], "f32", "lent"), persistent(gpu, [4])];
  const recording = await record(gpu, new Arena(gpu), "test", () => launchAdd({ a: x, b: x, y }));
  const encoded = recording.encode();
  recording.replay();
  gpu.memory.release(x.storage);
  const message = /^elementwise\/add\.wgsl: [ab]: lent \[4\] has been freed: /;
  expect(() => recording.replay()).toThrow(message);
  expect(encoded).toThrow(message);
});

describe("record() refuses what a replay would not repeat", () => {
  const x = () => fromArray(gpu, new Float32Array(4));
  const record4 = (body: () => void) => record(gpu, new Arena(gpu), "test", body);

  test.each([
    ["write", (view: Tensor) => gpu.write(view, new Float32Array(4))],
    ["copy", (view: Tensor) => gpu.copy(view, x())],
    ["read", (view: Tensor) => void gpu.read(view).catch(() => {})],
  ])("%s", async (what, call) => {
    const view = x();
    const other = x();
    const body = what === "copy" ? () => gpu.copy(view, other) : () => call(view);
    await expect(record4(body)).rejects.toThrow(
      new RegExp(`^${what} (to|of) tensor \\[4\\]: not possible inside record`),
    );
    expect(gpu.recorder).toBeNull();
  });

  test("an asynchronous body", async () => {
    await expect(record4((async () => {}) as () => void)).rejects.toThrow(/synchronously/);
  });

  test("writeOnce happens only while recording", async () => {
    const view = x();
    const recording = await record4(() => gpu.writeOnce(view, new Float32Array([1, 2, 3, 4])));
    gpu.write(view, new Float32Array(4));
    recording.replay();
    expect([...(await readFloats(view))]).toEqual([0, 0, 0, 0]);
  });
});

test("after the first step nothing is created or allocated, and only log points read back", async () => {
  const { state, data, options } = smallRun(gpu, { maxSteps: 1000, logEvery: 256 });
  const trainer = await Trainer.create(gpu, state, data, { ...options, evaluateEvery: 1000 });
  const reads = vi.spyOn(gpu, "read");
  let created = { ...gpu.created };
  let bytes = 0;
  let logs = 0;
  for await (const event of trainer.run()) {
    if (event.kind !== "metrics") continue;
    logs++;
    if (logs === 1) {
      // The first read-back makes its staging buffers; they are kept.
      created = { ...gpu.created };
      bytes = gpu.allocatedBytes;
    }
  }
  expect(logs).toBe(Math.ceil(1000 / 256));
  expect(reads.mock.calls.length).toBe(2 * logs + 1); // metrics and distances at log points, the last evaluation
  reads.mockRestore();
  expect(gpu.created.bindGroups).toBe(created.bindGroups);
  expect(gpu.created.pipelines).toBe(created.pipelines);
  expect(gpu.created.buffers - created.buffers).toBeLessThanOrEqual(1); // the evaluation's staging buffer
  expect(gpu.allocatedBytes - bytes).toBeLessThanOrEqual(256);
});

// How many dispatches a step takes: test/bench/dispatches.test.ts.
describe("the planned cost of an F1 step at the paper's size is that of its products", () => {
  test.each([
    [128, 128],
    [4096, 128],
    [4096, 4096],
    [1024, 17],
  ])("batch %i, ghosts of %i", async (samples, ghostSize) => {
    await gpu.lifetime(async () => {
      const layout = partitionBatch({ samples, batchSize: samples, ghostSize, policy: "exact" });
      const state = materialize(gpu, new F1(), { seed: 0, maximumGhosts: layout.ghosts });
      const step = new StepUniform(gpu);
      const plan = planRecording(gpu, () =>
        trainingStep(state, { step: step.tensor, log: persistent(gpu, [1, 8]) }, layout, {
          slabSamples: samples,
          running: { rule: "sequential", momentum: 0.1 },
          input: ({ total }) => ({
            x: persistent(gpu, [total, 1, 28, 28]),
            labels: persistent(gpu, [total], { dtype: "u32" }),
          }),
        }),
      );
      // Forward and both gradients of every layer but dx of the first: 2 · (3 · (784·512 + 4·512² + 512·10) − 784·512) a sample.
      expect(plan.cost.flops / samples / 7.93e6).toBeGreaterThan(0.97);
      expect(plan.cost.flops / samples / 7.93e6).toBeLessThan(1.1);
      await gpu.settle();
    });
  });
});

test("the plan shares memory between tensors that do not live at the same time", async () => {
  const a = fromArray(gpu, new Float32Array(1024).fill(1));
  const chain = () => {
    let y = a;
    for (let i = 0; i < 10; i++) {
      const next = empty(gpu, [1024]);
      launchAdd({ a: y, b: a, y: next });
      y = next;
    }
    return y;
  };
  const recording = await record(gpu, new Arena(gpu), "chain", chain);
  expect(recording.plan.slots.length).toBe(2);
  const unwritten = () => {
    const y = empty(gpu, [1024]);
    launchAdd({ a: empty(gpu, [1024], "f32", "forgotten"), b: a, y });
  };
  expect(() => planRecording(gpu, unwritten)).toThrow(
    /elementwise\/add.wgsl: reads a \(forgotten \[1024\]\), which nothing/,
  );
});
