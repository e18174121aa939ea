// The doors of ghost batch norm: what does not fit its statistics is an error. The numbers are in test/kernels.

import { beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/open-gpu.ts";
import { affineNorm } from "../../src/ops/affine-norm.ts";
import { ghostBatchNorm } from "../../src/ops/ghost-batch-norm.ts";
import { ShapeError } from "../../src/support/errors.ts";
import { persistent } from "../../src/tensor/tensor.ts";

const C = 4;
const EPS = 1e-5;

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
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
    "statistics [4, 7, 2] hold 4 ghosts, the batch's ghosts 2 to 4 need 5: materialize the model with maximumGhosts of at least 5",
  );
  expect(() => normalized({ firstChannel: 4 })).toThrow(
    "statistics [5, 7, 2] hold 7 channels, the layer has 4 from 4 on: give statistics of at least 8 channels",
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
    "runningMean [7] holds 7 channels, the layer has 4 from 4 on: give running statistics of at least 8 channels",
  );
  expect(() => evaluated(3, 6)).toThrow("runningVariance: expected [7], got [6]");
});
