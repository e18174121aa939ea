// NaN and infinities are counted by their bits, and steps that produce them are skipped without a trace.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchCountNonFinite, launchCountNonFiniteState } from "../../src/kernels/non-finite.ts";
import { fromArray, persistent, readFloats, readTensor } from "../../src/tensor/tensor.ts";
import { StepUniform } from "../../src/train/step-uniform.ts";
import { type OnNan, trainingStep } from "../../src/train/training-step.ts";
import { smallRun } from "../support/small-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const NON_FINITE = [0x7fc00000, 0xffc00000, 0x7f800001, 0xffffffff, 0x7f800000, 0xff800000];
const FINITE = [0, 0x80000000, 1, 0x807fffff, 0x7f7fffff, 0xff7fffff, 0x3f800000];

// One word, less and more than a workgroup, and more workgroups than fit on one side of a grid.
test.each([1, 63, 65, 1000, 64 * 65535 + 5])(
  "counts exactly the non-finite ones of %i words",
  async (size) => {
    const words = Uint32Array.from({ length: size }, (_, i) => FINITE[i % FINITE.length]!);
    const x = fromArray(gpu, words);
    const total = persistent(gpu, [1], { dtype: "u32" });
    launchCountNonFinite({ x, total });
    expect((await readTensor(total))[0]).toBe(0);
    const bad = new Set([
      0,
      size - 1,
      Math.floor(size / 2),
      Math.floor(size / 3),
      Math.floor(size / 5),
      7 % size,
    ]);
    for (const [i, at] of [...bad].entries()) words[at] = NON_FINITE[i]!;
    gpu.write(x, words);
    launchCountNonFinite({ x, total });
    expect((await readTensor(total))[0]).toBe(bad.size);
  },
);

// Few channels, more channels than parameters, and more parameters than a workgroup has lanes.
test.each([
  [1, 1],
  [65, 300],
  [1000, 63],
])(
  "counts the non-finite ones of %i parameters and the statistics of %i channels",
  async (size, channels) => {
    const words = [size, channels, channels].map((length) =>
      Uint32Array.from({ length }, (_, i) => FINITE[i % FINITE.length]!),
    );
    const [values, runningMean, runningVariance] = words.map((part) => fromArray(gpu, part));
    const total = persistent(gpu, [1], { dtype: "u32" });
    const count = async () => {
      gpu.write(total, new Uint32Array(1));
      const normState = { runningMean: runningMean!, runningVariance: runningVariance! };
      launchCountNonFiniteState({ values: values!, normState, total });
      return (await readTensor(total))[0];
    };
    expect(await count()).toBe(0);
    for (const [i, tensor] of [values!, runningMean!, runningVariance!].entries()) {
      words[i]![0] = NON_FINITE[i]!;
      words[i]![words[i]!.length - 1] = NON_FINITE[i + 1]!;
      gpu.write(tensor, words[i]!);
    }
    expect(await count()).toBe(
      [size, channels, channels].reduce((sum, length) => sum + Math.min(2, length), 0),
    );
  },
);

describe("a step on images that are not finite", () => {
  const BATCH = 30;

  /** Trains on given images; a step is [value of one pixel, momentum]. */
  async function train(steps: readonly (readonly [pixel: number, momentum: number])[], onNan: OnNan) {
    const { state, options } = smallRun(gpu, { batchSize: BATCH, ghostSize: 10 });
    const step = new StepUniform(gpu);
    const log = persistent(gpu, [8, 8]);
    const x = persistent(gpu, [BATCH, 1, 7, 7]);
    const labels = fromArray(
      gpu,
      Uint32Array.from({ length: BATCH }, (_, i) => i % 4),
    );
    const images = Float32Array.from({ length: x.size }, (_, i) => Math.sin(i * i));
    for (const [index, [pixel, momentum]] of steps.entries()) {
      images[100] = pixel;
      gpu.write(x, images);
      const common = { learningRate: 0.1, weightDecay: 0.01, clipNorm: 1, seed: 1, epoch: 0, firstSample: 0 };
      step.write({ ...common, momentum, step: index });
      gpu.scope(() =>
        trainingStep(state, { step: step.tensor, log }, options.epoch.full!, {
          slabSamples: BATCH,
          running: options.running,
          input: () => ({ x, labels }),
          onNan,
        }),
      );
    }
    const { values, velocity, normState } = state;
    const tensors = await Promise.all(
      [values, velocity, normState!.runningMean, normState!.runningVariance].map(readFloats),
    );
    return { tensors, log: await readFloats(log) };
  }

  test.each([Number.NaN, Number.POSITIVE_INFINITY])(
    "%d: with skip the step leaves no trace, without it the state is ruined",
    async (bad) => {
      const without = await train(
        [
          [0.5, 0.9],
          [0.25, 0.9],
        ],
        "skip",
      );
      const skipped = await train(
        [
          [0.5, 0.9],
          [bad, 0.9],
          [0.25, 0.9],
        ],
        "skip",
      );
      expect(skipped.tensors).toEqual(without.tensors);
      // The log shows it by a clip coefficient of 0, which no other step has.
      const coefficient = (step: number) => skipped.log[8 * step + 5]!;
      expect([coefficient(0) > 0, coefficient(1), coefficient(2) > 0]).toEqual([true, 0, true]);
      expect(Number.isFinite(skipped.log[8 + 4]! + skipped.log[8]!)).toBe(false);
      const ruined = await train(
        [
          [0.5, 0.9],
          [bad, 0.9],
          [0.25, 0.9],
        ],
        "stop",
      );
      // Parameters, velocity and running mean. The variance's lower bound of 0 hides NaN.
      for (const tensor of ruined.tensors.slice(0, 3))
        expect(tensor.some((value) => !Number.isFinite(value))).toBe(true);
    },
  );

  test("skip does not change a finite run: the same bits", async () => {
    const steps = [
      [0.5, 0.9],
      [0.25, 0.9],
    ] as const;
    expect(await train(steps, "skip")).toEqual(await train(steps, "stop"));
  });

  test("a momentum reset in a skipped step still resets the velocity", async () => {
    const kept = await train(
      [
        [0.5, 0.9],
        [Number.NaN, 0.9],
      ],
      "skip",
    );
    const reset = await train(
      [
        [0.5, 0.9],
        [Number.NaN, 0],
      ],
      "skip",
    );
    expect(kept.tensors[1]!.some((value) => value !== 0)).toBe(true);
    expect(reset.tensors[1]!.every((value) => value === 0)).toBe(true);
    expect(reset.tensors[0]).toEqual(kept.tensors[0]);
  });
});
