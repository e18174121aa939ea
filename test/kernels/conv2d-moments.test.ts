// The moments that a convolution leaves of its tiles, and the statistics from them, against float64 of the same output.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchConv2d } from "../../src/kernels/conv2d.ts";
import { conv2dGeometry } from "../../src/kernels/conv2d-geometry.ts";
import { momentsLayout } from "../../src/kernels/conv2d-moments.ts";
import {
  launchMergedStatistics,
  launchNormalize,
  launchNormalizeMerged,
} from "../../src/kernels/ghost-batch-norm.ts";
import { mergePays, mergeTiles } from "../../src/kernels/ghost-batch-norm-geometry.ts";
import { ghostStatistics } from "../../src/reference/ghost-batch-norm.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { empty, fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

interface Case {
  readonly N: number;
  readonly C: number;
  readonly size: number;
  readonly K: number;
  readonly stride: number;
  readonly ghostSize: number;
  readonly ghosts: number;
  /** Mean of x, whose deviation is 1. */
  readonly mean: number;
}

// Pixels that the tiles of both variants divide evenly; channels that do not fill a tile; shorter and longer last ghosts.
const CASES: readonly Case[] = [
  { N: 5, C: 3, size: 16, K: 13, stride: 1, ghostSize: 2, ghosts: 3, mean: 0.5 },
  { N: 7, C: 4, size: 16, K: 64, stride: 2, ghostSize: 2, ghosts: 3, mean: 0.5 },
  { N: 34, C: 2, size: 32, K: 33, stride: 1, ghostSize: 34, ghosts: 1, mean: 0.5 },
  { N: 4, C: 1, size: 18, K: 16, stride: 1, ghostSize: 2, ghosts: 2, mean: 3000 },
];

const label = ({ N, C, size, K, stride, ghostSize, ghosts, mean }: Case) =>
  `(${N}, ${C}, ${size}, ${size}) to ${K}, stride ${stride}, ${ghosts} of ${ghostSize}, mean ${mean}`;

const FIRST_GHOST = 1;
const FIRST_CHANNEL = 3;

const WAYS = (["narrow", "wide"] as const).flatMap((variant) => [
  { variant, merge: "in a separate pass" },
  { variant, merge: "while normalizing" },
]);

describe.each(WAYS)("moments of tiles, $variant, merged $merge", ({ variant, merge }) => {
  test.each(CASES.map((one) => [label(one), one] as const))("%s", async (name, one) => {
    gpu.variant = variant;
    const { N, C, size, K, stride, ghostSize, ghosts, mean } = one;
    const data = randomData(N);
    const x = fromArray(gpu, data.normals(N * C * size * size, { mean }), [N, C, size, size]);
    const taps = 9 * C;
    // For a large mean: filters that keep it, and no border, which would add to the variance.
    const border = mean < 100;
    const filters = data.normals(K * taps, { mean: 1 / taps, deviation: border ? 0.2 : 0 });
    const weight = fromArray(gpu, filters, [K, C, 3, 3]);
    const options = { stride, padding: border ? 1 : 0 };
    const geometry = conv2dGeometry(x.shape, weight.shape, options);
    const { P, Q } = geometry;
    const layout = momentsLayout(gpu, geometry, "f32")!;
    const { tiles, pixels } = layout;
    expect(tiles * pixels).toBe(P * Q);

    const filled = (shape: number[]) =>
      fromArray(gpu, new Float32Array(sizeOf(shape)).fill(Number.NaN), shape);
    const y = filled([N, K, P, Q]);
    const tensor = filled([N, tiles, K, 2]);
    launchConv2d({ x, weight, y, moments: tensor }, options);
    const plain = empty(gpu, y.shape);
    launchConv2d({ x, weight, y: plain }, options);
    const output = await readFloats(y);
    expect(output).toEqual(await readFloats(plain));

    const totalChannels = FIRST_CHANNEL + K + 2;
    const table = new Float32Array((FIRST_GHOST + ghosts + 1) * totalChannels * 2).fill(Number.NaN);
    const statistics = fromArray(gpu, table, [FIRST_GHOST + ghosts + 1, totalChannels, 2]);
    const place = {
      ghosts: { ghostSize, ghosts, total: N, firstGhost: FIRST_GHOST },
      firstChannel: FIRST_CHANNEL,
    };
    const moments = { tensor, pixels };
    const [gamma, beta] = [fromArray(gpu, data.normals(K)), fromArray(gpu, data.normals(K))];
    const normalized = fromArray(gpu, new Float32Array(y.size).fill(Number.NaN), y.shape);
    if (merge === "while normalizing") {
      const t = { x: y, gamma, beta, statistics, moments, y: normalized };
      launchNormalizeMerged(t, { ...place, eps: 1e-5, relu: true });
      const again = empty(gpu, y.shape);
      launchNormalize({ x: y, gamma, beta, statistics, y: again }, { ...place, eps: 1e-5, relu: true });
      expect(await readFloats(normalized)).toEqual(await readFloats(again));
    } else launchMergedStatistics({ moments, statistics }, place);
    const found = await readFloats(statistics);
    const reference = ghostStatistics(output, { N, C: K, HW: P * Q, ghostSize, ghosts });
    for (let g = 0; g <= ghosts; g++) {
      for (let c = -FIRST_CHANNEL; c < K + 2; c++) {
        const at = 2 * ((FIRST_GHOST + g) * totalChannels + FIRST_CHANNEL + c);
        const pair = found.subarray(at, at + 2);
        if (g === ghosts || c < 0 || c >= K) {
          expect([...pair], `${name}: ghost ${g}, channel ${c}`).toEqual([Number.NaN, Number.NaN]);
          continue;
        }
        const [m, v] = [reference.mean[g * K + c]!, reference.variance[g * K + c]!];
        // Half a unit in the last place of a tile's mean, times the spread of the tiles' means.
        const rounded = 2 ** -24 * Math.abs(m) * Math.sqrt(v / pixels);
        const bounds = [4e-7 * (Math.abs(m) + Math.sqrt(v)), 2e-5 * v + rounded];
        for (const [i, expected] of [m, v].entries()) {
          const what = `${name}: ${i === 0 ? "mean" : "variance"}, ghost ${g}, channel ${c}`;
          expectClose([pair[i]!], [expected], { bound: bounds[i]!, label: what });
        }
      }
    }
  });

  test("none if a tile would extend beyond an image", () => {
    gpu.variant = variant;
    const geometry = conv2dGeometry([4, 3, 7, 11], [16, 3, 3, 3], { stride: 1, padding: 1 });
    expect(momentsLayout(gpu, geometry, "f32")).toBeNull();
  });

  test("are merged unless a lane would have to merge too many", () => {
    gpu.variant = variant;
    const ghost = (ghostSize: number) => ({ ghostSize, ghosts: 1, total: ghostSize });
    expect(mergePays(gpu, ghost(128), 4)).toBe(true);
    expect(mergePays(gpu, ghost(8192), 4)).toBe(variant === "narrow");
    const { COLUMNS, ROWS } = mergeTiles(gpu, 32768);
    expect(COLUMNS * ROWS * 32).toBeLessThanOrEqual(gpu.device.limits.maxComputeWorkgroupStorageSize);
  });
});
