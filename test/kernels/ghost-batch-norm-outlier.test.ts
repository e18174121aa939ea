// Statistics with one or a few outliers are correct to 1e-5, wherever the outliers are, in every kernel that computes them.

import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { runnableVariants } from "../../src/gpu/variant.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import {
  launchForward,
  launchMergedStatistics,
  launchStatistics,
  partialsShape,
} from "../../src/kernels/ghost-batch-norm.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { empty, fromArray, readFloats, type Tensor } from "../../src/tensor/tensor.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

/** Variance of 2^20 values N(0, 1) with one of 1e4, to three digits. The test computes the exact one of its own values. */
const EXPECTED_VARIANCE = 96.4;

interface Channels {
  readonly samples: number;
  readonly channels: number;
  readonly pixels: number;
}

const EPS = 1e-5;

function whole(samples: number) {
  return {
    ghosts: { ghostSize: samples, ghosts: 1, total: samples, firstGhost: 0 },
    firstChannel: 0,
    eps: EPS,
    relu: false,
  };
}

/** [mean, variance] of every channel in float64. */
function truth(
  x: Float32Array,
  { samples, channels, pixels }: Channels,
): { mean: number; variance: number }[] {
  const count = samples * pixels;
  return Array.from({ length: channels }, (_, c) => {
    const values = new Float64Array(count);
    for (let n = 0; n < samples; n++) {
      const plane = (n * channels + c) * pixels;
      values.set(x.subarray(plane, plane + pixels), n * pixels);
    }
    let [sum, squares] = [0, 0];
    for (let i = 0; i < count; i++) sum += values[i]!;
    const mean = sum / count;
    for (let i = 0; i < count; i++) squares += (values[i]! - mean) ** 2;
    return { mean, variance: squares / count };
  });
}

function nothing(shape: readonly number[]): Tensor {
  return fromArray(gpu, new Float32Array(sizeOf(shape)).fill(Number.NaN), shape);
}

interface Input {
  readonly x: Tensor;
  readonly host: Float32Array;
}

/** For each kernel: from its input to a function that launches it, writing [1, channels, 2]. */
const KERNELS = {
  statistics:
    ({ x }: Input, { samples }: Channels) =>
    (statistics: Tensor) => {
      launchStatistics({ x, statistics }, whole(samples));
    },
  "statistics and combine":
    ({ x }: Input, { samples }: Channels) =>
    (statistics: Tensor) => {
      const shape = partialsShape(x, whole(samples).ghosts);
      launchStatistics({ x, statistics, ...(shape && { partials: empty(gpu, shape) }) }, whole(samples));
    },
  "merge of moments": ({ host }: Input, size: Channels) => {
    const moments = momentsOf(host, size);
    return (statistics: Tensor) => {
      launchMergedStatistics({ moments, statistics }, whole(size.samples));
    };
  },
  dense: ({ x }: Input, { samples, channels }: Channels) => {
    const gamma = fromArray(gpu, new Float32Array(channels).fill(1));
    const beta = fromArray(gpu, new Float32Array(channels));
    return (statistics: Tensor) => {
      launchForward({ x, gamma, beta, statistics, y: empty(gpu, x.shape) }, whole(samples));
    };
  },
};

const TILE = 16;

/** The moments that a convolution leaves of tiles of 16 pixels: [N, tiles, C] of (mean, Σ (x − mean)²), rounded once. */
function momentsOf(x: Float32Array, { samples, channels, pixels }: Channels) {
  const tiles = pixels / TILE;
  const moments = new Float32Array(samples * tiles * channels * 2);
  for (let i = 0; i < samples * channels * tiles; i++) {
    let [sum, squares] = [0, 0];
    for (let k = 0; k < TILE; k++) sum += x[i * TILE + k]!;
    const mean = sum / TILE;
    for (let k = 0; k < TILE; k++) squares += (x[i * TILE + k]! - mean) ** 2;
    const [n, c, tile] = [Math.floor(i / tiles / channels), Math.floor(i / tiles) % channels, i % tiles];
    const at = 2 * ((n * tiles + tile) * channels + c);
    moments[at] = mean;
    moments[at + 1] = squares;
  }
  return { tensor: fromArray(gpu, moments, [samples, tiles, channels, 2]), pixels: TILE };
}

const LARGE = { samples: 1024, channels: 1, pixels: 1024 };
const KERNEL_CASES: { kernel: keyof typeof KERNELS; size: Channels }[] = [
  { kernel: "statistics", size: LARGE },
  { kernel: "statistics and combine", size: LARGE },
  { kernel: "merge of moments", size: LARGE },
  { kernel: "statistics", size: { samples: 1000, channels: 2, pixels: 49 } }, // planes that are not whole vec4s
  { kernel: "statistics", size: { samples: 63, channels: 2, pixels: 4 } },
  { kernel: "dense", size: { samples: 128, channels: 4, pixels: 1 } },
  { kernel: "dense", size: { samples: 63, channels: 4, pixels: 1 } },
  { kernel: "dense", size: { samples: 4096, channels: 4, pixels: 1 } },
];

/** How many values a kernel reads at once; lib/shift takes the first of them or their mean. */
function valuesRead(kernel: keyof typeof KERNELS, { pixels }: Channels): number {
  if (kernel === "merge of moments") return TILE;
  return kernel !== "dense" && pixels % 4 === 0 ? 4 : 1;
}

/** Places of the outliers among the flat values of a channel, by name; of values that are read at once, the first. */
const PLACES: Record<string, (count: number, readAsOne: number) => number[]> = {
  none: () => [],
  "the first": () => [0],
  "the sixth": () => [5],
  "the last": (count) => [count - 1],
  "one in the middle": (count) => [Math.floor(count / 2) + 3],
  // The places that lib/shift samples: one of the three may be an outlier.
  "the first place of the shift": (count, one) => [one * Math.floor(count / one / 8)],
  "the second place of the shift": (count, one) => {
    const n = count / one;
    return [one * (Math.floor(n / 2) + Math.floor(n / 16))];
  },
  "the third place of the shift": (count, one) => {
    const n = count / one;
    return [one * (n - 1 - Math.floor(n / 11))];
  },
  "the first eight": () => [0, 1, 2, 3, 4, 5, 6, 7],
};

describe.each(KERNEL_CASES)(
  "$kernel of $size.samples × $size.channels × $size.pixels",
  ({ kernel, size }) => {
    const { samples, channels, pixels } = size;
    const shape = pixels === 1 ? [samples, channels] : [samples, channels, pixels];
    const normals = randomData(7).normals(samples * channels * pixels);

    test.each([100, 1e4, 2e4, 1e5])("values of %d", async (far) => {
      for (const [place, positions] of Object.entries(PLACES)) {
        const host = normals.slice();
        for (const i of positions(samples * pixels, valuesRead(kernel, size))) {
          host[Math.floor(i / pixels) * channels * pixels + (i % pixels)] = far; // of channel 0
        }
        const expected = truth(host, size);
        const launch = KERNELS[kernel]({ x: fromArray(gpu, host, shape), host }, size);
        for (const variant of runnableVariants(gpu)) {
          gpu.variant = variant;
          const statistics = nothing([1, channels, 2]);
          launch(statistics);
          const found = await readFloats(statistics);
          expected.forEach(({ mean, variance }, c) => {
            const label = `${variant}, ${place}, channel ${c}`;
            expect(Math.abs(found[2 * c]! - mean) / Math.sqrt(variance), `${label}: mean`).toBeLessThan(1e-5);
            expect(Math.abs(found[2 * c + 1]! / variance - 1), `${label}: variance`).toBeLessThan(1e-5);
          });
          if (size === LARGE && far === 1e4 && place === "the first") {
            expect(found[1]).toBeCloseTo(EXPECTED_VARIANCE, 0);
          }
        }
      }
    });
  },
);
