// Training with f16 activations: compared with f32, bit for bit where required, and what the loss scale prevents.

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareStep } from "../../src/bench/step.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { planRecording } from "../../src/gpu/recording.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { GradientProbe } from "../../src/measure/probe.ts";
import { linear } from "../../src/ops/linear.ts";
import { softmaxCrossEntropy } from "../../src/ops/softmax-cross-entropy.ts";
import { Tape } from "../../src/ops/tape.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { divergenceIn } from "../../src/run/divergence.ts";
import { Tally } from "../../src/run/tally.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import type { Position, StateTensors } from "../../src/train/checkpoint.ts";
import { findNonFinite } from "../../src/train/diagnose.ts";
import { lossScaleOf, requirePrecision } from "../../src/train/precision.ts";
import { type TrainEvent, Trainer } from "../../src/train/trainer.ts";
import { intermediate, VARIANTS } from "../support/op-run.ts";
import { type SmallRunOptions, smallRun, trainSmall } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

type Trained = Awaited<ReturnType<typeof trainSmall>>;

const stepsOf = (events: readonly TrainEvent[]) =>
  events.flatMap((event) => (event.kind === "metrics" ? event.steps : []));

const bitsOf = ({ state: { values, velocity, normState } }: Pick<Trained, "state">) =>
  Promise.all([values, velocity, normState!.runningMean, normState!.runningVariance].map(readFloats));

test("the scale is a power of two between 64 and 128 times the batch", () => {
  const batches = [1, 2, 100, 128, 129, 4096];
  expect(batches.map(lossScaleOf)).toEqual([6, 7, 13, 13, 14, 18].map((power) => 2 ** power));
});

test("the error for an adapter without f16 storage names it", () => {
  const lesser = { device: { features: new Set() }, adapter: { name: "A card" } } as unknown as Gpu;
  expect(() => requirePrecision(lesser, "f32")).not.toThrow();
  expect(() => requirePrecision(lesser, "mixed")).toThrow(
    "--precision mixed: A card has no shader-f16, which 16-bit activations need; use --precision f32",
  );
});

describe.each(VARIANTS)("%s", (variant) => {
  beforeAll(() => {
    gpu.variant = variant;
  });

  test("losses and gradient norms stay near those of f32; twice the same bits; half the memory", async () => {
    const plain = await trainSmall(gpu);
    const mixed = await trainSmall(gpu, { precision: "mixed" });
    const again = await trainSmall(gpu, { precision: "mixed" });
    expect(await bitsOf(again)).toEqual(await bitsOf(mixed));
    expect(await bitsOf(mixed)).not.toEqual(await bitsOf(plain));
    const expected = stepsOf(plain.events);
    expect(stepsOf(mixed.events)).toHaveLength(7);
    for (const [i, { loss, gradientNorm }] of stepsOf(mixed.events).entries()) {
      // An f16 has 11 bits; about ten roundings per step, and seven steps that build on each other.
      expect(Math.abs(loss / expected[i]!.loss - 1)).toBeLessThan(0.02);
      expect(Math.abs(gradientNorm / expected[i]!.gradientNorm - 1)).toBeLessThan(0.05);
    }
    expect(mixed.trainer.plan.bytes).toBeLessThan(0.55 * plain.trainer.plan.bytes);
  });

  test("a step of ResNet44 has at most 0.55 of f32's memory and 0.58 of its bytes, by the plan", () => {
    const planIn = (precision: "f32" | "mixed") =>
      gpu.planOnly(() => {
        const { body } = prepareStep(gpu, { model: "resnet44", batch: 128, ghostSize: 32, precision });
        return planRecording(gpu, body);
      }).result;
    const [plain, mixed] = [planIn("f32"), planIn("mixed")];
    expect(mixed.bytes / plain.bytes).toBeLessThan(0.55);
    expect(mixed.cost.bytes / plain.cost.bytes).toBeLessThan(0.58);
  });

  test("a loss scale changes no bit of a run in f32", async () => {
    const scaled = await trainSmall(gpu, { lossScale: 2 ** 13 });
    const plain = await trainSmall(gpu);
    expect(await bitsOf(scaled)).toEqual(await bitsOf(plain));
    expect(stepsOf(scaled.events)).toEqual(stepsOf(plain.events));
  });

  test("a run that is cut and continued has the same bits", async () => {
    const options: SmallRunOptions = { precision: "mixed", batchSize: 32, ghostSize: 8, maxSteps: 6 };
    const whole = await trainSmall(gpu, options);
    let kept: { position: Position; tensors: Promise<StateTensors> } | null = null;
    const first = smallRun(gpu, options);
    const trainer = await Trainer.create(gpu, first.state, first.data, first.options);
    const afterStep = (position: Position) => {
      if (position.step === 3) kept = { position, tensors: trainer.keeper.take() };
      return position.step < 3;
    };
    for await (const _ of trainer.run(undefined, afterStep));
    const { position, tensors } = kept!;
    const second = smallRun(gpu, options);
    const resumed = await Trainer.create(gpu, second.state, second.data, second.options);
    resumed.keeper.restore(await (tensors as Promise<StateTensors>), "test");
    for await (const _ of resumed.run(position));
    expect(await bitsOf(second)).toEqual(await bitsOf(whole));
  });

  test("slabs change only the rounding of f32 sums", async () => {
    const whole = await trainSmall(gpu, { precision: "mixed", maxSteps: 1 });
    const cut = await trainSmall(gpu, {
      precision: "mixed",
      maxSteps: 1,
      memoryBytes: 0.6 * whole.trainer.plan.bytes,
    });
    expect(cut.trainer.slabSamples).toBeLessThan(whole.trainer.slabSamples);
    const [one, other] = [await readFloats(whole.state.gradients), await readFloats(cut.state.gradients)];
    let [error, size] = [0, 0];
    for (const [i, value] of one.entries()) {
      error += (value - other[i]!) ** 2;
      size += value ** 2;
    }
    expect(Math.sqrt(error / size)).toBeLessThan(1e-6);
  });

  test("gradients that the probe returns are unscaled", async () => {
    const samples = Uint32Array.from({ length: 64 }, (_, i) => i);
    const gradientIn = async (precision: "f32" | "mixed") => {
      const { state, data } = smallRun(gpu, { precision });
      const probe = await GradientProbe.create(state, data, { batchSize: 64, ghostSize: 16 });
      return (await probe.gradient(samples)).gradient;
    };
    const [plain, mixed] = [await gradientIn("f32"), await gradientIn("mixed")];
    const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    // The component along f32's gradient. Across it: each ReLU whose input changed its sign is 1 of 64 · 24 / 2.
    expect(Math.abs(dot(mixed, plain) / dot(plain, plain) - 1)).toBeLessThan(0.02);
    expect(dot(mixed, plain) ** 2 / (dot(mixed, mixed) * dot(plain, plain))).toBeGreaterThan(0.99);
  });

  test("a step whose gradient overflows is skipped, counted and reported; a hundred of them end the run", async () => {
    // 2²⁴ / 64 samples: far beyond 65,504 in the gradient of the logits.
    const overflowing = { precision: "mixed", lossScale: 2 ** 24, maxSteps: 3 } as const;
    const { state, events } = await trainSmall(gpu, overflowing);
    const fresh = smallRun(gpu, overflowing);
    expect(await bitsOf({ state })).toEqual(await bitsOf(fresh));
    expect(stepsOf(events)).toHaveLength(3);
    for (const { loss, gradientNorm } of stepsOf(events)) {
      expect(Number.isFinite(loss)).toBe(true);
      expect(Number.isFinite(gradientNorm)).toBe(false);
    }
    const tally = new Tally();
    const lines: string[] = [];
    const options = {
      onNan: "stop",
      precision: "mixed",
      tally,
      report: (line: string) => lines.push(line),
    } as const;
    for (const event of events) expect(divergenceIn(event, options)).toBeNull();
    expect(tally.skippedSteps).toBe(3);
    expect(lines[0]).toMatch(
      /^step 1 skipped: the loss is [\d.]+ and the gradient norm (NaN|Infinity); --loss-scale/,
    );
    const metrics = events.find((event) => event.kind === "metrics")!;
    let ended = null;
    for (let i = 0; i < 100 && ended === null; i++) ended = divergenceIn(metrics, options);
    expect(ended).toMatchObject({ isInSteps: true });
    // In f32 the same numbers end a run at once.
    expect(divergenceIn(metrics, { ...options, precision: "f32" })).toMatchObject({ badStep: 1 });
  });
});

test("a kernel whose f16 output overflows is found; in f32 there is nothing to find", async () => {
  const originIn = async (precision: "f32" | "mixed") => {
    const { state, data, options } = smallRun(gpu, { precision });
    const trainer = await Trainer.create(gpu, state, data, options);
    const [, parameter] = state.parameters.find(([name]) => name === "layers.3.weight")!;
    // Sums of about 10⁶: too large for f16, and harmless in f32, their squares too.
    const restore = () => gpu.write(parameter.value, new Float32Array(parameter.size).fill(1e5));
    return findNonFinite(trainer, { restore, from: 0, to: 1, badStep: 1, givenUp: () => false });
  };
  expect(await originIn("mixed")).toMatchObject({
    step: 1,
    kernel: expect.stringMatching(/^matmul\//),
    output: expect.stringMatching(/^c, linear/),
    layer: "layers.3",
  });
  expect(await originIn("f32")).toBeNull();
});

test("without a scale, a batch of 4096 with small errors loses much of its gradient", async () => {
  const [N, I, K] = [4096, 32, 10];
  const data = randomData(1);
  // Logits with a standard deviation of about 17, and the largest ones as labels.
  const weightData = data.normals(K * I, { deviation: 3 });
  const x = intermediate(gpu, data.normals(N * I), [N, I], "f16");
  const weight = fromArray(gpu, weightData, [K, I], "weight");
  const logits = await readFloats(linear(x, weight, null, { output: "f32" }));
  const labels = Uint32Array.from({ length: N }, (_, n) => {
    const row = logits.subarray(n * K, (n + 1) * K);
    return row.indexOf(Math.max(...row));
  });
  const gradientOf = async (lossScale: number) => {
    const tape = new Tape();
    const output = tape.record(() => linear(x, weight, null, { output: "f32" }));
    const weights = { weight: 1 / N, lastWeight: 1 / N, lastStart: N };
    const { dlogits } = softmaxCrossEntropy(output, fromArray(gpu, labels, [N]), weights, { lossScale });
    tape.backward(output, dlogits);
    return { dx: await readFloats(tape.gradientOf(x)!), dlogits: await readFloats(dlogits) };
  };
  const share = ({ dx, dlogits }: Awaited<ReturnType<typeof gradientOf>>) => {
    // In the rows that have a gradient, the share of numbers that are 0.
    let [zeros, all] = [0, 0];
    for (let n = 0; n < N; n++) {
      if (dlogits.subarray(n * K, (n + 1) * K).every((value) => value === 0)) continue;
      all += I;
      for (let i = 0; i < I; i++) if (dx[n * I + i] === 0) zeros++;
    }
    return zeros / all;
  };
  const [without, scaled] = [share(await gradientOf(1)), share(await gradientOf(lossScaleOf(N)))];
  const most = 0.1; // the largest share that may be lost
  expect(without).toBeGreaterThan(2 * most);
  expect(scaled).toBeLessThan(most);
});
