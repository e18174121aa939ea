// Pooling, dropout and the element-wise kernels on the GPU against float64.

import { afterAll, describe, expect, test } from "vitest";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchAvgPool, launchAvgPoolGradInput } from "../../src/kernels/avg-pool.ts";
import { launchDropout } from "../../src/kernels/dropout.ts";
import { launchAdd, launchRelu, launchReluGrad } from "../../src/kernels/elementwise.ts";
import { launchGlobalAvgPool, launchGlobalAvgPoolGradInput } from "../../src/kernels/global-avg-pool.ts";
import { launchMaxPool, launchMaxPoolGradInput } from "../../src/kernels/max-pool.ts";
import { pooledLength } from "../../src/kernels/pool-geometry.ts";
import { avgPool, avgPoolGradient } from "../../src/reference/avg-pool.ts";
import { dropout } from "../../src/reference/dropout.ts";
import { globalAvgPool, globalAvgPoolGradient } from "../../src/reference/global-avg-pool.ts";
import { maxPool, maxPoolGradient } from "../../src/reference/max-pool.ts";
import { poolOutputSize } from "../../src/reference/pool-size.ts";
import { pcg4d, uniformFromWord } from "../../src/reference/random.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { STREAMS } from "../../src/support/random.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { fromArray, readFloats, readTensor, type Tensor } from "../../src/tensor/tensor.ts";
import { IDLE_STEP, StepUniform } from "../../src/train/step-uniform.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";

const gpu = await openGpu();
afterAll(() => gpu.close());

function filled(shape: readonly number[], value: number): Tensor {
  return fromArray(gpu, new Float32Array(sizeOf(shape)).fill(value), shape);
}

/** Initial contents of gradients: poison if they are overwritten, a value if they are added to. */
const STARTS = [Number.NaN, 0.75];

const CASES = [
  { N: 2, C: 3, H: 8, W: 8, kernel: 2, stride: 2, padding: 0 },
  { N: 2, C: 5, H: 9, W: 11, kernel: 3, stride: 2, padding: 0 }, // as in the shallow networks
  { N: 1, C: 4, H: 15, W: 13, kernel: 3, stride: 2, padding: 1 },
  { N: 3, C: 1, H: 7, W: 5, kernel: 3, stride: 1, padding: 1 }, // windows overlap on both axes
  { N: 1, C: 2, H: 10, W: 7, kernel: 2, stride: 3, padding: 0 }, // pixels outside every window
  { N: 2, C: 3, H: 8, W: 8, kernel: 8, stride: 8, padding: 0 },
] as const;

describe.each(CASES)("($N, $C, $H, $W), window $kernel, stride $stride, padding $padding", (size) => {
  const { N, C, H, W } = size;
  const { P, Q } = poolOutputSize(size);
  const data = randomData(H * 100 + W);
  const images = [N, C, H, W];
  const pooled = [N, C, P, Q];
  const dy = data.normals(sizeOf(pooled));

  test("output sizes", () => {
    expect([pooledLength(H, size), pooledLength(W, size)]).toEqual([P, Q]);
  });

  test("max pooling, with ties, and its gradient", async () => {
    // Integers from a small range, so that nearly every window has a tie.
    const x = Float32Array.from(data.integers(sizeOf(images), 4), (v) => v - 3);
    const y = filled(pooled, Number.NaN);
    const indices = fromArray(gpu, new Uint32Array(sizeOf(pooled)).fill(0xffffffff), pooled);
    launchMaxPool({ x: fromArray(gpu, x, images), y, indices }, size);
    const reference = maxPool(x, size);
    expect(Array.from(await readFloats(y))).toEqual(Array.from(reference.y));
    expect(Array.from(await readTensor(indices))).toEqual(Array.from(reference.indices));

    const expected = maxPoolGradient({ dy, indices: reference.indices }, size);
    await checkGradients(expected, (dx, accumulate) => {
      launchMaxPoolGradInput({ dy: fromArray(gpu, dy, pooled), indices, dx }, { ...size, accumulate });
    });
  });

  test("max pooling treats NaN as the largest value, wherever it is in a window", async () => {
    const x = data.normals(sizeOf(images)).map((v, i) => (i % 7 === 3 ? Number.NaN : v));
    const y = filled(pooled, 0);
    const indices = fromArray(gpu, new Uint32Array(sizeOf(pooled)).fill(0xffffffff), pooled);
    launchMaxPool({ x: fromArray(gpu, x, images), y, indices }, size);
    const reference = maxPool(x, size);
    expect(reference.y.some(Number.isNaN)).toBe(true);
    expect(Array.from(await readFloats(y))).toEqual(Array.from(reference.y, Math.fround));
    expect(Array.from(await readTensor(indices))).toEqual(Array.from(reference.indices));
  });

  test("average pooling and its gradient", async () => {
    const x = data.normals(sizeOf(images));
    const y = filled(pooled, Number.NaN);
    launchAvgPool({ x: fromArray(gpu, x, images), y }, size);
    const bound = roundingBound({ terms: size.kernel ** 2, scale: largest(x) / size.kernel });
    expectClose(await readFloats(y), avgPool(x, size), { bound, label: "avg-pool y", shape: pooled });
    await checkGradients(avgPoolGradient(dy, size), (dx, accumulate) => {
      launchAvgPoolGradInput({ dy: fromArray(gpu, dy, pooled), dx }, { ...size, accumulate });
    });
  });

  async function checkGradients(expected: Float64Array, launch: (dx: Tensor, accumulate: boolean) => void) {
    for (const start of STARTS) {
      const accumulate = !Number.isNaN(start);
      const dx = filled(images, start);
      launch(dx, accumulate);
      const bound = roundingBound({ terms: 4, scale: largest(expected) + 1 });
      const wanted = accumulate ? expected.map((v) => v + start) : expected;
      expectClose(await readFloats(dx), wanted, { bound, label: "pooling dx", shape: images });
    }
  }
});

test("a window larger than the image is an error that says so", () => {
  expect(() => pooledLength(2, { kernel: 3, stride: 1 })).toThrow(/window of 3 is larger than an image of 2/);
});

test.each([
  { N: 3, C: 5, HW: 64 },
  { N: 2, C: 7, HW: 9 },
  { N: 70, C: 1, HW: 1 },
])("global average pooling ($N, $C, $HW)", async ({ N, C, HW }) => {
  const data = randomData(HW);
  const x = data.normals(N * C * HW, { mean: 1 });
  const dy = data.normals(N * C);
  const y = filled([N, C], Number.NaN);
  launchGlobalAvgPool({ x: fromArray(gpu, x, [N, C, HW]), y });
  const bound = roundingBound({ terms: HW, scale: 4 });
  expectClose(await readFloats(y), globalAvgPool(x, { N, C, HW }), { bound, label: "y" });
  for (const start of STARTS) {
    const accumulate = !Number.isNaN(start);
    const dx = filled([N, C, HW], start);
    launchGlobalAvgPoolGradInput({ dy: fromArray(gpu, dy, [N, C]), dx }, { accumulate });
    const expected = globalAvgPoolGradient(dy, { N, C, HW }).map((v) => v + (accumulate ? start : 0));
    expectClose(await readFloats(dx), expected, {
      bound: roundingBound({ terms: 1, scale: 4 }),
      label: "dx",
    });
  }
});

// 12 is a multiple of the vector width, 15 is not.
test.each([12, 15, 1])("add, relu and its gradient on %d values", async (size) => {
  const data = randomData(size);
  const [a, b, dy] = [data.normals(size), data.normals(size), data.normals(size)];
  a[0] = 0;
  const sum = filled([size], Number.NaN);
  launchAdd({ a: fromArray(gpu, a), b: fromArray(gpu, b), y: sum });
  expect(await readFloats(sum)).toEqual(a.map((v, i) => v + b[i]));
  const y = filled([size], Number.NaN);
  launchRelu({ x: fromArray(gpu, a), y });
  expect(await readFloats(y)).toEqual(a.map((v) => Math.max(v, 0)));
  for (const start of STARTS) {
    const accumulate = !Number.isNaN(start);
    const dx = filled([size], start);
    launchReluGrad({ y, dy: fromArray(gpu, dy), dx }, { accumulate });
    const gradient = dy.map((v, i) => (a[i] > 0 ? v : 0));
    expect(await readFloats(dx)).toEqual(accumulate ? gradient.map((v) => v + start) : gradient);
  }
});

// NaN of either sign: the sign of 0 · ∞ depends on the processor.
test.each([8, 7])("relu and its gradient keep NaN, on %d values", async (size) => {
  const bits = [0x7fc00000, 0xffc00000, 0x80000000, 0xff800000, 0x7f800000, 0x3f800000, 0xbf800000, 0];
  const x = fromArray(gpu, new Float32Array(Uint32Array.from(bits).buffer, 0, size));
  const y = filled([size], 0);
  launchRelu({ x, y });
  const expected = [Number.NaN, Number.NaN, 0, 0, Number.POSITIVE_INFINITY, 1, 0, 0];
  expect([...(await readFloats(y))]).toEqual(expected.slice(0, size));
  const dx = filled([size], Number.NaN);
  launchReluGrad({ y, dy: filled([size], 3), dx }, { accumulate: false });
  expect([...(await readFloats(dx))]).toEqual([3, 3, 0, 0, 3, 3, 0, 0].slice(0, size));
});

describe("dropout", () => {
  const SEED = 5;
  const STEP = 17;
  const LAYER = 2;
  const probability = 0.3;

  function stepUniform(): Tensor {
    const step = new StepUniform(gpu);
    step.write({ ...IDLE_STEP, seed: SEED, step: STEP });
    return step.tensor;
  }

  /** The mask of a batch, by its definition. */
  function maskOf(size: number): number[] {
    return Array.from({ length: size }, (_, e) => {
      const word = pcg4d([SEED, STREAMS.dropout + 256 * LAYER, STEP, Math.floor(e / 4)])[e % 4];
      return uniformFromWord(word) >= Math.fround(probability) ? 1 : 0;
    });
  }

  test.each([
    { N: 9, features: 7 }, // slabs begin inside a draw of four
    { N: 6, features: 8 },
  ])("($N, $features): the same mask at any slab size, forward and backward", async ({ N, features }) => {
    const x = randomData(N).normals(N * features);
    const reference = dropout({ x, mask: maskOf(N * features) }, { p: probability });
    const bound = roundingBound({ terms: 1, scale: largest(reference) });
    const step = stepUniform();
    for (const slab of [N, 4, 1]) {
      for (const start of STARTS) {
        const accumulate = !Number.isNaN(start);
        for (let firstSample = 0; firstSample < N; firstSample += slab) {
          const samples = Math.min(slab, N - firstSample);
          const [from, to] = [firstSample * features, (firstSample + samples) * features];
          const y = filled([samples, features], start);
          const part = fromArray(gpu, x.slice(from, to), [samples, features]);
          launchDropout({ x: part, y, step }, { probability, layer: LAYER, firstSample, accumulate });
          const expected = reference.slice(from, to).map((v) => v + (accumulate ? start : 0));
          expectClose(await readFloats(y), expected, { bound, label: `slab of ${slab} from ${firstSample}` });
        }
      }
    }
  });

  test("drops the requested share, and different values in another layer", async () => {
    const size = 40_000;
    const [one, other] = [filled([1, size], Number.NaN), filled([1, size], Number.NaN)];
    const t = { x: filled([1, size], 1), step: stepUniform() };
    launchDropout({ ...t, y: one }, { probability, layer: 0, firstSample: 0 });
    launchDropout({ ...t, y: other }, { probability, layer: 1, firstSample: 0 });
    const [first, second] = [await readFloats(one), await readFloats(other)];
    const deviation = Math.sqrt((probability * (1 - probability)) / size);
    const dropped = first.filter((v) => v === 0).length / size;
    expect(Math.abs(dropped - probability)).toBeLessThan(5 * deviation);
    // Independent masks agree where both keep or both drop.
    const agree = first.filter((v, i) => v === second[i]).length / size;
    expect(Math.abs(agree - (probability ** 2 + (1 - probability) ** 2))).toBeLessThan(0.02);
  });
});
