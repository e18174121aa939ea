// The input gradient that also goes back through a norm's ReLU and leaves the norm's sums, against separate passes and float64.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchConv2dGradInput } from "../../src/kernels/conv2d.ts";
import { gradInputNormTiles, launchConv2dGradInputNorm } from "../../src/kernels/conv2d-grad-input-norm.ts";
import { launchForward } from "../../src/kernels/ghost-batch-norm.ts";
import { launchBackwardPasses } from "../../src/kernels/ghost-batch-norm-backward.ts";
import { launchGradInput, sumsShape } from "../../src/kernels/ghost-batch-norm-gradients.ts";
import { ghostRange, ghostStatistics } from "../../src/reference/ghost-batch-norm.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { empty, type FloatType, fromArray, persistent, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { expectSameBits, poisonAllocations } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  gpu.variant = "wide";
  poisonAllocations(gpu);
  return () => gpu.close();
});

interface Case {
  readonly N: number;
  /** Channels of the norm. */
  readonly C: number;
  /** Sides of its images. */
  readonly H: number;
  readonly W: number;
  readonly K: number;
  /** Side of the filter. */
  readonly R: number;
  readonly padding: number;
  readonly ghostSize: number;
  readonly ghosts: number;
  readonly relu: boolean;
  /** Whether a residual was added, and dx already holds the gradient from another path. */
  readonly residual: boolean;
}

// Channels that do not fill a tile, images that tiles extend beyond, several images per tile, shorter and longer last ghosts.
const CASES: readonly Case[] = [
  { N: 7, C: 16, H: 8, W: 8, K: 5, R: 3, padding: 1, ghostSize: 2, ghosts: 3, relu: true, residual: false },
  { N: 7, C: 16, H: 8, W: 8, K: 5, R: 3, padding: 1, ghostSize: 2, ghosts: 3, relu: true, residual: true },
  { N: 8, C: 19, H: 9, W: 13, K: 3, R: 3, padding: 0, ghostSize: 3, ghosts: 2, relu: true, residual: false },
  { N: 4, C: 19, H: 9, W: 14, K: 4, R: 5, padding: 2, ghostSize: 2, ghosts: 2, relu: true, residual: true },
  { N: 4, C: 33, H: 16, W: 16, K: 2, R: 1, padding: 0, ghostSize: 4, ghosts: 1, relu: false, residual: true },
  { N: 6, C: 64, H: 32, W: 32, K: 2, R: 3, padding: 1, ghostSize: 2, ghosts: 3, relu: true, residual: true },
];

/** In f32, and two of them with activations in f16. */
const TYPED = [
  ...CASES.map((one) => ({ one, type: "f32" as FloatType })),
  ...[CASES[1]!, CASES[2]!].map((one) => ({ one, type: "f16" as FloatType })),
];

const label = ({ N, C, H, W, K, R, relu, residual }: Case) =>
  `[${N}, ${C}, ${H}, ${W}] from ${K} channels, ${R}×${R}${relu ? ", relu" : ""}${residual ? ", residual" : ""}`;

/** Rounding of sums in f32, relative to the terms; in f16 one unit in the last place, half of it in each of two results. */
const ROUNDING = { f32: 1e-5, f16: 2 ** -10 };

const FIRST_GHOST = 1;
const FIRST_CHANNEL = 3;

/** A norm after its forward pass, and the convolution that follows it. */
function setUp(one: Case, type: FloatType) {
  const { N, C, H, W, K, R, padding, ghostSize, ghosts, relu, residual } = one;
  const data = randomData(N * C + K);
  const shape = [N, C, H, W];
  const x = fromArray(gpu, data.normals(N * C * H * W, { mean: 2 }), shape, "x", type);
  const [gamma, beta] = [fromArray(gpu, data.normals(C), [C]), fromArray(gpu, data.normals(C), [C])];
  const statistics = persistent(gpu, [FIRST_GHOST + ghosts, FIRST_CHANNEL + C + 2, 2]);
  const norm = {
    ghosts: { ghostSize, ghosts, total: N, firstGhost: FIRST_GHOST },
    firstChannel: FIRST_CHANNEL,
    eps: 1e-5,
    relu,
  };
  const y = empty(gpu, shape, type);
  const added = residual ? { residual: fromArray(gpu, data.normals(x.size), shape, "residual", type) } : {};
  launchForward({ x, gamma, beta, statistics, y, ...added }, norm);
  const weight = fromArray(gpu, data.normals(K * C * R * R), [K, C, R, R]);
  const [P, Q] = [H + 2 * padding - R + 1, W + 2 * padding - R + 1];
  const dy = fromArray(gpu, data.normals(N * K * P * Q), [N, K, P, Q], "dy", type);
  const held = data.normals(x.size);
  const options = { stride: 1, padding, accumulate: residual };
  return { x, y, gamma, beta, statistics, norm, weight, dy, held, options, shape };
}

describe.each(TYPED.map(({ one, type }) => [`${label(one)}, ${type}`, one, type] as const))(
  "%s",
  (_, one, type) => {
    test("is, bit for bit, the input gradient where the ReLU let y through, and its sums are correct", async () => {
      const { x, y, gamma, beta, statistics, norm, weight, dy, held, options, shape } = setUp(one, type);
      const dx = fromArray(gpu, held, shape, "dx", type);
      const scratch = (size: readonly number[]) => empty(gpu, size);
      const own = { x, statistics, gamma, beta, ...(one.residual && { y }) };
      const sums = launchConv2dGradInputNorm({ dy, weight, dx, norm: own, scratch }, { ...options, norm });
      expect(sums.shape).toEqual([one.N, gradInputNormTiles(dx, weight.shape, options), one.C, 2]);

      const plain = fromArray(gpu, held, shape, "dx", type);
      launchConv2dGradInput({ dy, weight, dx: plain }, options);
      const [through, all, outputs] = [await readFloats(dx), await readFloats(plain), await readFloats(y)];
      expect(through).toEqual(all.map((value, i) => (one.relu && outputs[i]! <= 0 ? 0 : value)));

      const found = await readFloats(sums);
      const size = { N: one.N, C: one.C, HW: one.H * one.W, ghostSize: one.ghostSize, ghosts: one.ghosts };
      const input = await readFloats(x);
      const { mean, variance } = ghostStatistics(input, size);
      for (let g = 0; g < one.ghosts; g++) {
        const { start, end } = ghostRange(g, size);
        for (let c = 0; c < one.C; c++) {
          const r = 1 / Math.sqrt(variance[g * one.C + c]! + norm.eps);
          const expected = [0, 0];
          const scales = [0, 0];
          for (let n = start; n < end; n++) {
            for (let p = 0; p < size.HW; p++) {
              const at = (n * one.C + c) * size.HW + p;
              const terms = [through[at]!, through[at]! * (input[at]! - mean[g * one.C + c]!) * r];
              for (const i of [0, 1]) {
                expected[i]! += terms[i]!;
                scales[i]! += Math.abs(terms[i]!);
              }
            }
          }
          const tiles = sums.shape[1]!;
          for (const i of [0, 1]) {
            let total = 0;
            for (let row = start * tiles; row < end * tiles; row++)
              total += found[2 * (row * one.C + c) + i]!;
            expectClose([total], [expected[i]!], {
              bound: ROUNDING[type] * scales[i]!,
              label: `sum ${i}, ghost ${g}, channel ${c}`,
            });
          }
        }
      }
    });

    test("gives the same input gradient of the norm as the norm's own two passes", async () => {
      const { x, y, gamma, beta, statistics, norm, weight, dy, held, options, shape } = setUp(one, type);
      const dx = fromArray(gpu, held, shape, "dx", type);
      const scratch = (size: readonly number[]) => empty(gpu, size);
      const own = { x, statistics, gamma, beta };
      const saved = one.residual ? { y } : {};
      const sums = launchConv2dGradInputNorm(
        { dy, weight, dx, norm: { ...own, ...saved }, scratch },
        { ...options, norm },
      );
      const found = empty(gpu, shape, type);
      const how = { ...norm, relu: false, accumulate: false, ofSamples: true };
      launchGradInput({ ...own, dy: dx, sums, dx: found }, how);

      const plain = fromArray(gpu, held, shape, "dx", type);
      launchConv2dGradInput({ dy, weight, dx: plain }, options);
      const dresidual = empty(gpu, shape, type);
      const expected = empty(gpu, shape, type);
      const passes = { ...own, dy: plain, sums: empty(gpu, sumsShape(x, norm.ghosts)), dx: expected };
      const residual = one.residual ? { residual: { y, dresidual } } : {};
      launchBackwardPasses({ ...passes, ...residual }, { ...norm, accumulate: false });
      const wanted = await readFloats(expected);
      const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      expectClose(await readFloats(found), wanted, { bound: ROUNDING[type] * scale, label: "dx" });
      if (one.residual) await expectSameBits(dx, dresidual, "dresidual");
    });
  },
);
