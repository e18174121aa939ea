// What ghost batch norm refuses, and how it treats NaN and infinities. test/kernels tests its numbers.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { runnableVariants } from "../../src/gpu/variant.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { affineNorm } from "../../src/ops/affine-norm.ts";
import { ghostBatchNorm } from "../../src/ops/ghost-batch-norm.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { ShapeError } from "../../src/support/errors.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { fromArray, persistent, readFloats } from "../../src/tensor/tensor.ts";
import { differentiate, intermediate, parameter, poisonAllocations } from "../support/op-run.ts";

const C = 4;
const EPS = 1e-5;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

/** The norm of 6 samples in 3 ghosts, the first of them at row `firstGhost` of `rows`, channel 0 at column `firstChannel` of 7. */
function normalized({ rows = 5, firstGhost = 2, firstChannel = 3 }) {
  return ghostBatchNorm(persistent(gpu, [6, C]), persistent(gpu, [C]), persistent(gpu, [C]), {
    ghosts: { ghostSize: 2, ghosts: 3, total: 6, firstGhost },
    statistics: persistent(gpu, [rows, 7, 2]),
    firstChannel,
    eps: EPS,
  });
}

test("ghosts and channels that run past the end of the statistics are refused", () => {
  expect(() => normalized({})).not.toThrow();
  expect(() => normalized({ rows: 4 })).toThrow(ShapeError);
  expect(() => normalized({ rows: 4 })).toThrow(
    "statistics [4, 7, 2] have room for 4 ghosts, but the batch's ghosts 2 to 4 need 5: materialize the model with maximumGhosts of at least 5",
  );
  expect(() => normalized({ firstChannel: 4 })).toThrow(
    "statistics [5, 7, 2] have 7 channels, but the layer has 4 from 4 on: pass statistics of at least 8 channels",
  );
});

test("channels that run past the end of the running statistics are refused", () => {
  const evaluated = (firstChannel: number, variances = 7) =>
    affineNorm(persistent(gpu, [6, C]), persistent(gpu, [C]), persistent(gpu, [C]), {
      runningMean: persistent(gpu, [7]),
      runningVariance: persistent(gpu, [variances]),
      firstChannel,
      eps: EPS,
    });
  expect(() => evaluated(3)).not.toThrow();
  expect(() => evaluated(4)).toThrow(ShapeError);
  expect(() => evaluated(4)).toThrow(
    "runningMean [7] has 7 channels, but the layer has 4 from 4 on: pass running statistics of at least 8 channels",
  );
  expect(() => evaluated(3, 6)).toThrow("runningVariance: expected [7], got [6]");
});

// Planes that are whole vec4s and others, dense layers, and groups that several workgroups share in the wide variant.
const SHAPES = [
  { shape: [22, 5, 4, 4], ghostSize: 11 },
  { shape: [11, 3, 3, 3], ghostSize: 5 },
  { shape: [37, 36], ghostSize: 18 },
  { shape: [64, 1, 64, 64], ghostSize: 64 },
];
const KINDS = [
  { relu: false, added: false },
  { relu: true, added: false },
  { relu: true, added: true },
];

describe.each([Number.NaN, Number.NEGATIVE_INFINITY])("%d in one value of x", (bad) => {
  test.each(SHAPES.flatMap((one) => KINDS.map((kind) => ({ ...one, ...kind }))))(
    "$shape, relu $relu, residual $added: NaN in the whole group, forward and backward, and nowhere else",
    async ({ shape, ghostSize, relu, added }) => {
      const [N, C] = shape as [number, number];
      const size = sizeOf(shape);
      const data = randomData(size);
      const values = data.normals(size);
      const sample = size / N;
      values[(ghostSize - 1) * sample] = bad; // channel 0 of the last sample of the first ghost
      const inGroup = (i: number) => i < ghostSize * sample && i % sample < sample / C;
      const own = gpu.variant;
      for (const variant of runnableVariants(gpu)) {
        gpu.variant = variant;
        const x = intermediate(gpu, values, shape);
        const gamma = parameter(gpu, data.normals(C, { mean: 1, deviation: 0.1 }), [C]);
        const beta = parameter(gpu, data.normals(C), [C]);
        const ghosts = { ghostSize, ghosts: Math.floor(N / ghostSize), total: N, firstGhost: 0 };
        const statistics = persistent(gpu, [ghosts.ghosts, C, 2]);
        const residual = added ? fromArray(gpu, data.normals(size), shape) : undefined;
        const { y, tape } = differentiate(
          () =>
            ghostBatchNorm(x, gamma, beta, { ghosts, statistics, firstChannel: 0, eps: EPS, relu, residual }),
          fromArray(gpu, data.normals(size), shape),
        );
        for (const [what, tensor] of Object.entries({ y, dx: tape.gradientOf(x)! })) {
          const differs = (await readFloats(tensor)).findIndex(
            (value, i) => Number.isNaN(value) !== inGroup(i),
          );
          expect(differs, `${variant}: ${what}`).toBe(-1);
        }
        const dgamma = Array.from(await readFloats(gamma.gradient!), Number.isNaN);
        expect(dgamma).toEqual(dgamma.map((_, channel) => channel === 0));
      }
      gpu.variant = own;
    },
  );
});
