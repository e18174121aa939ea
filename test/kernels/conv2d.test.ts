// conv2d on the GPU against float64, on both variants: forward, the gradients of its input and of its weight.

import { beforeAll, describe, expect, test } from "vitest";
import { conv2dCases, conv2dErrorCases } from "../../src/cases/conv2d.ts";
import { caseLabel } from "../../src/cases/label.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchConv2d, launchConv2dGradInput } from "../../src/kernels/conv2d.ts";
import { conv2dGeometry } from "../../src/kernels/conv2d-geometry.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../../src/kernels/conv2d-grad-weight.ts";
import { gatherTile, gradWeightTile } from "../../src/kernels/conv2d-narrow-tiles.ts";
import { patchTile } from "../../src/kernels/conv2d-patch.ts";
import { tiledGather } from "../../src/kernels/conv2d-tiled.ts";
import {
  type Conv2dSize,
  conv2d,
  conv2dInputGradient,
  conv2dOutputSize,
  conv2dWeightGradient,
} from "../../src/reference/conv2d.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { ShapeError } from "../../src/support/errors.ts";
import { fromArray, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const VARIANTS = ["narrow", "wide"] as const;
const FORWARD = { transposed: false, type: "f32" } as const;
const CASES = conv2dCases.filter(({ paper }) => !paper).map((size) => [caseLabel(size), size] as const);

/** A filter with more columns than the narrow kernels can unroll, so that they fall back on workgroup tiles. */
const LONG_FILTER = { N: 2, C: 2, H: 3, W: 50, K: 3, R: 2, S: 40, stride: 1, padding: 1 };
const ADDED_TO: readonly Conv2dSize[] = [
  { N: 3, C: 5, H: 9, W: 7, K: 10, R: 3, S: 3, stride: 1, padding: 1 },
  { N: 2, C: 9, H: 7, W: 10, K: 6, R: 3, S: 3, stride: 2, padding: 1 },
];

/** A tensor full of NaN: what a kernel leaves unwritten, or reads before writing, fails every comparison. */
function poisoned(shape: readonly number[]): Tensor {
  const size = shape.reduce((a, b) => a * b, 1);
  return fromArray(gpu, new Float32Array(size).fill(Number.NaN), shape);
}

function setUp(size: Conv2dSize) {
  const { N, C, H, W, K, R, S, stride, padding } = size;
  const { P, Q } = conv2dOutputSize(size);
  const data = randomData(N * 1000 + K);
  const shapes = { x: [N, C, H, W], weight: [K, C, R, S], y: [N, K, P, Q] };
  const x = data.normals(N * C * H * W, { mean: 0.2 });
  const weight = data.normals(K * C * R * S);
  const dy = data.normals(N * K * P * Q);
  const onGpu = {
    x: fromArray(gpu, x, shapes.x),
    weight: fromArray(gpu, weight, shapes.weight),
    dy: fromArray(gpu, dy, shapes.y),
  };
  return { host: { x, weight, dy }, ...onGpu, shapes, options: { stride, padding } };
}

type SetUp = ReturnType<typeof setUp>;

function forward({ x, weight, shapes, options }: SetUp): Tensor {
  const y = poisoned(shapes.y);
  launchConv2d({ x, weight, y }, options);
  return y;
}

function gradInput({ dy, weight, shapes, options }: SetUp, before?: Float32Array<ArrayBuffer>): Tensor {
  const dx = before ? fromArray(gpu, before, shapes.x) : poisoned(shapes.x);
  launchConv2dGradInput({ dy, weight, dx }, { ...options, accumulate: before !== undefined });
  return dx;
}

function gradWeight({ x, dy, shapes, options }: SetUp, before?: Float32Array<ArrayBuffer>): Tensor {
  const dweight = before ? fromArray(gpu, before, shapes.weight) : poisoned(shapes.weight);
  const partials = poisoned([gradWeightPartials(x, shapes.weight, options).elements]);
  launchConv2dGradWeight({ x, dy, partials, dweight }, { ...options, accumulate: before !== undefined });
  return dweight;
}

async function expectAll(size: Conv2dSize, label: string): Promise<void> {
  const all = setUp(size);
  const { host, shapes } = all;
  const { N, C, K, R, S } = size;
  const [, , P, Q] = shapes.y;
  const passes = [
    { name: "y", shape: shapes.y, terms: C * R * S, tensor: forward(all), reference: conv2d(host, size) },
    {
      name: "dx",
      shape: shapes.x,
      terms: K * R * S,
      tensor: gradInput(all),
      reference: conv2dInputGradient(host, size),
    },
    {
      name: "dweight",
      shape: shapes.weight,
      terms: N * P * Q,
      tensor: gradWeight(all),
      reference: conv2dWeightGradient(host, size),
    },
  ];
  for (const { name, shape, terms, tensor, reference } of passes) {
    const bound = roundingBound({ terms, scale: largest(reference) });
    expectClose(await readFloats(tensor), reference, { bound, label: `${label} ${name}`, shape });
  }
}

describe.each(VARIANTS)("conv2d, %s", (variant) => {
  test.each(CASES)("%s", async (label, size) => {
    gpu.variant = variant;
    await expectAll(size, label);
  });

  test.each([16, 32, 64])("enough pixels for the larger tiles, %i channels", async (K) => {
    gpu.variant = variant;
    const size = { N: 2048 / K, C: 3, H: 33, W: 32, K, R: 3, S: 3, stride: 1, padding: 1 };
    const geometry = { ...size, P: 33, Q: 32 };
    expect(patchTile(gpu, geometry, FORWARD)).toMatchObject({ TM: 8, ROWS: 2 });
    const all = setUp(size);
    const reference = conv2d(all.host, size);
    const bound = roundingBound({ terms: 27, scale: largest(reference) });
    const y = await readFloats(forward(all));
    expectClose(y, reference, { bound, label: "y", shape: all.shapes.y });
    // A single image gets the smallest tile, and the same bits.
    expect(patchTile(gpu, { ...geometry, N: 1 }, FORWARD)).toMatchObject({ TM: 4, ROWS: 1 });
    const one = { ...all, shapes: { ...all.shapes, y: [1, K, 33, 32] } };
    const x = fromArray(gpu, all.host.x.slice(0, 3 * 33 * 32), [1, 3, 33, 32]);
    expect(await readFloats(forward({ ...one, x }))).toEqual(y.slice(0, K * 33 * 32));
  });

  test("a filter too long to unroll", async () => {
    gpu.variant = variant;
    const geometry = conv2dGeometry([2, 2, 3, 50], [3, 2, 2, 40], LONG_FILTER);
    expect([gatherTile(geometry, FORWARD), gradWeightTile(geometry, "f32")]).toEqual([null, null]);
    await expectAll(LONG_FILTER, "long filter");
  });

  test.each(ADDED_TO)("gradients added to existing values, stride $stride", async (size) => {
    gpu.variant = variant;
    const all = setUp(size);
    const { host, shapes } = all;
    const data = randomData(5);
    for (const { name, shape, gradient, reference } of [
      { name: "dx", shape: shapes.x, gradient: gradInput, reference: conv2dInputGradient(host, size) },
      {
        name: "dweight",
        shape: shapes.weight,
        gradient: gradWeight,
        reference: conv2dWeightGradient(host, size),
      },
    ]) {
      const before = data.normals(reference.length, { deviation: 10 });
      const sum = reference.map((value, i) => value + before[i]);
      const bound = roundingBound({ terms: 100, scale: largest(sum) });
      const actual = await readFloats(gradient(all, before));
      expectClose(actual, sum, { bound, label: `accumulated ${name}`, shape });
    }
  });

  test("the same bits every time; those of an image do not depend on the rest of the batch", async () => {
    gpu.variant = variant;
    const size = { N: 6, C: 16, H: 16, W: 16, K: 16, R: 3, S: 3, stride: 1, padding: 1 };
    const all = setUp(size);
    const bits = async (tensor: Tensor) => new Uint32Array((await readFloats(tensor)).buffer);
    for (const pass of [forward, gradInput, gradWeight]) {
      expect(await bits(pass(all))).toEqual(await bits(pass(all)));
    }
    const images = 2;
    const part = {
      ...all,
      x: fromArray(gpu, all.host.x.slice(0, images * 16 * 256), [images, 16, 16, 16]),
      dy: fromArray(gpu, all.host.dy.slice(0, images * 16 * 256), [images, 16, 16, 16]),
      shapes: { ...all.shapes, x: [images, 16, 16, 16], y: [images, 16, 16, 16] },
    };
    for (const pass of [forward, gradInput]) {
      expect(await bits(pass(part))).toEqual((await bits(pass(all))).slice(0, images * 16 * 256));
    }
  });
});

describe("conv2d with only the general wide kernels", () => {
  const sizes: Conv2dSize[] = [
    { N: 3, C: 33, H: 13, W: 17, K: 35, R: 3, S: 3, stride: 1, padding: 1 },
    { N: 2, C: 16, H: 8, W: 8, K: 64, R: 3, S: 3, stride: 1, padding: 1 },
    { N: 5, C: 7, H: 11, W: 6, K: 9, R: 3, S: 3, stride: 2, padding: 1 },
    { N: 1, C: 2, H: 8, W: 6, K: 5, R: 4, S: 2, stride: 2, padding: 1 },
  ];
  test.each(sizes)("$C → $K, stride $stride", async (size) => {
    gpu.variant = "wide";
    gpu.specialized = false;
    try {
      await expectAll(size, "general");
    } finally {
      gpu.specialized = true;
    }
  });

  test("8 × 8 outputs per thread if there are enough outputs", async () => {
    gpu.variant = "wide";
    // 1 × 1 filters of stride 2 have no specialized kernel.
    const size = { N: 34, C: 2, H: 63, W: 63, K: 64, R: 1, S: 1, stride: 2, padding: 0 };
    expect(tiledGather({ K: 64, outputs: 34 * 64 * 32 * 32 })).toMatchObject({ TM: 8, TN: 8 });
    const all = setUp(size);
    const reference = conv2d(all.host, size);
    const bound = roundingBound({ terms: 2, scale: largest(reference) });
    expectClose(await readFloats(forward(all)), reference, { bound, label: "y", shape: all.shapes.y });
  });
});

describe("conv2d's sizes", () => {
  test.each(conv2dErrorCases)(
    "$R×$S on $H×$W padded by $padding is refused",
    ({ N, C, H, W, K, R, S, ...options }) => {
      expect(() => conv2dGeometry([N, C, H, W], [K, C, R, S], options)).toThrow(ShapeError);
      expect(() => conv2dGeometry([N, C, H, W], [K, C, R, S], options)).toThrow(/larger than/);
    },
  );

  test("channels, stride and padding that do not fit are refused", () => {
    const refused = (x: number[], weight: number[], stride: number, padding: number) =>
      expect(() => conv2dGeometry(x, weight, { stride, padding }));
    refused([1, 3, 8, 8], [4, 2, 3, 3], 1, 1).toThrow(/3 channels.*2/);
    refused([1, 3, 8, 8], [4, 3, 3, 3], 0, 1).toThrow(/stride 0/);
    refused([1, 3, 8, 8], [4, 3, 3, 3], 1.5, 1).toThrow(/stride 1.5/);
    refused([1, 3, 8, 8], [4, 3, 3, 3], 1, -1).toThrow(/padding -1/);
    refused([3, 8, 8], [4, 3, 3, 3], 1, 1).toThrow(/4 dimensions/);
  });
});
