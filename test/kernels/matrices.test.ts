// Kernels on subgroup matrices against float64 of the rounded operands, element by element: on the software adapter's own matrices,
// and by emulation on the sizes of other GPUs.

import { beforeAll, describe, expect, test } from "vitest";
import { captureCommands } from "../../src/bench/capture.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import type { MatrixSize } from "../../src/gpu/matrices.ts";
import { runnableVariants } from "../../src/gpu/variant.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchConv2d } from "../../src/kernels/conv2d.ts";
import { conv2dGeometry } from "../../src/kernels/conv2d-geometry.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../../src/kernels/conv2d-grad-weight.ts";
import { momentsLayout } from "../../src/kernels/conv2d-moments.ts";
import { launchMatmul } from "../../src/kernels/matmul.ts";
import { conv2d } from "../../src/reference/conv2d.ts";
import { roundToFloat16 } from "../../src/support/float16.ts";
import { empty, type FloatType, fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { emulatingGpu } from "../support/emulated-matrices.ts";
import { limitMs } from "../support/limits.ts";
import {
  checkLayer,
  checkProduct,
  type Layer,
  layer,
  type ProductCase,
  square,
} from "../support/matrix-checks.ts";
import { runOnMatrices, unwritten } from "../support/matrix-results.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const LAYERS: readonly (readonly [string, Layer])[] = [
  ["channels and pixels that fill matrices", square(3, 16, 8, 16, 3)],
  ["rows shorter than a matrix, an odd number of images", { ...square(5, 24, 4, 16, 3), accumulate: true }],
  ["sizes that divide nothing", { N: 2, C: 23, H: 7, W: 15, K: 21, R: 3, S: 3, stride: 1, padding: 1 }],
  ["stride 2", { ...square(2, 16, 16, 24, 3, 2), accumulate: true }],
  ["a shortcut: 1×1 with stride 2", square(2, 16, 8, 32, 1, 2)],
  ["5×5 on odd rows, no padding", { N: 1, C: 16, H: 11, W: 15, K: 16, R: 5, S: 5, stride: 1, padding: 0 }],
];

const PRODUCTS: readonly (readonly [string, ProductCase])[] = [
  [
    "a layer forward",
    { rows: 48, inner: 64, columns: 32, transposeB: true, bias: true, types: ["f16", "f32", "f16"] },
  ],
  [
    "its input gradient",
    { rows: 48, inner: 36, columns: 64, types: ["f16", "f32", "f16"], accumulate: true },
  ],
  [
    "its weight gradient",
    { rows: 32, inner: 48, columns: 64, transposeA: true, types: ["f16", "f16", "f32"] },
  ],
  [
    "long sums, in slices",
    { rows: 16, inner: 1027, columns: 16, transposeA: true, types: ["f16", "f16", "f32"] },
  ],
  [
    "odd sizes, both transposed",
    { rows: 23, inner: 37, columns: 29, transposeA: true, transposeB: true, types: ["f16", "f16", "f16"] },
  ],
];

test("the software adapter multiplies matrices of 8×8×8, but prefers the narrow kernels", () => {
  expect(gpu.adapter.matrices).toContainEqual({ M: 8, N: 8, K: 8, component: "f16" });
  expect(runnableVariants(gpu)).toEqual(["narrow", "wide", "matrix"]);
});

describe("on the adapter's own matrices", () => {
  test.each(LAYERS)("conv2d, %s", (_, size) => checkLayer(gpu, size), limitMs(120_000));
  test.each(PRODUCTS)("matmul, %s", (_, one) => checkProduct(gpu, one), limitMs(120_000));

  test(
    "moments of a convolution's tiles come from its f32 sums",
    async () => {
      const size = square(3, 16, 16, 24, 3);
      const { x, weight, shapes, options } = layer(size, 3);
      gpu.variant = "matrix";
      const geometry = conv2dGeometry(shapes.x, shapes.weight, options);
      const { tiles, pixels } = momentsLayout(gpu, geometry, "f16")!;
      expect(tiles * pixels).toBe(256);
      const tensors = {
        x: fromArray(gpu, x, shapes.x, "x", "f16"),
        // A mean far from 0, where sums of squares would lose digits.
        weight: fromArray(
          gpu,
          weight.map((value) => roundToFloat16(0.1 * value + 1)),
          shapes.weight,
        ),
        y: unwritten(gpu, shapes.y, "f16"),
        moments: unwritten(gpu, [size.N, tiles, size.K, 2], "f32"),
      };
      await runOnMatrices(gpu, () => launchConv2d(tensors, options));
      const found = await readFloats(tensors.moments);
      const y = conv2d({ x, weight: await readFloats(tensors.weight) }, size);
      for (let i = 0; i < size.N * tiles * size.K; i++) {
        const [image, tile, k] = [Math.floor(i / tiles / size.K), Math.floor(i / size.K) % tiles, i % size.K];
        const start = (image * size.K + k) * 256 + tile * pixels;
        const values = [...y.subarray(start, start + pixels)];
        const mean = values.reduce((sum, value) => sum + value, 0) / pixels;
        const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
        // Sums of 144 terms of size about 1 around a mean of 29.
        const error = 4 * 12 * 2 ** -24 * 144;
        expect(Math.abs(found[2 * i]! - mean)).toBeLessThan(error);
        expect(Math.abs(found[2 * i + 1]! - squares)).toBeLessThan(2 * error * Math.sqrt(squares * pixels));
      }
    },
    limitMs(120_000),
  );

  test(
    "the same bits every time",
    async () => {
      const size = square(4, 16, 8, 16, 3);
      const { x, dy, weight, shapes, options } = layer(size, 5);
      const tensors = {
        x: fromArray(gpu, x, shapes.x, "x", "f16"),
        dy: fromArray(gpu, dy, shapes.y, "dy", "f16"),
      };
      const filters = fromArray(gpu, weight, shapes.weight);
      const bits = async () => {
        const y = unwritten(gpu, shapes.y, "f16");
        const dweight = unwritten(gpu, shapes.weight, "f32");
        await runOnMatrices(gpu, () => {
          launchConv2d({ x: tensors.x, weight: filters, y }, options);
          const partials = empty(gpu, [gradWeightPartials(tensors.x, shapes.weight, options).elements]);
          launchConv2dGradWeight({ ...tensors, partials, dweight }, options);
        });
        return [await readFloats(y), await readFloats(dweight)];
      };
      expect(await bits()).toEqual(await bits());
    },
    limitMs(120_000),
  );

  test("f32 activations, a first layer of 3 channels and a head of 10 classes stay on the wide kernels", () => {
    const files = (type: FloatType, C: number) => {
      const { shapes, options } = layer(square(1, C, 8, 16, 3), 1);
      const columns = C === 3 ? 10 : 16;
      const operand = (shape: readonly number[]) => unwritten(gpu, shape, type);
      const convolution = {
        x: operand(shapes.x),
        weight: unwritten(gpu, shapes.weight, "f32"),
        y: operand(shapes.y),
      };
      const product = { a: operand([64, 32]), b: operand([32, columns]), c: operand([64, columns]) };
      const commands = captureCommands(gpu, "matrix", () => {
        launchConv2d(convolution, options);
        launchMatmul(product);
      });
      return commands.map(({ kernel }) => kernel.file);
    };
    expect(files("f16", 16)).toEqual(["conv2d/forward-matrix.wgsl", "matmul/matrix.wgsl"]);
    expect(files("f32", 16)).toEqual(["conv2d/forward.wgsl", "matmul/tiled.wgsl"]);
    expect(files("f16", 3)).toEqual(["conv2d/forward.wgsl", "matmul/tiled.wgsl"]);
  });
});

const OTHERS: readonly MatrixSize[] = [
  { M: 16, N: 16, K: 16, component: "f16" },
  { M: 16, N: 8, K: 16, component: "f16" },
  { M: 8, N: 16, K: 16, component: "f16" },
  { M: 8, N: 8, K: 8, component: "f32" },
];

describe.each(OTHERS)("on matrices of $M×$N×$K $component, emulated", (size) => {
  test(
    size.component === "f16" ? "conv2d and matmul" : "conv2d",
    async () => {
      const other = emulatingGpu(gpu, [size]);
      await checkLayer(other, square(2, 16, 8, 16, 3), size.component);
      if (size.component === "f16")
        await checkProduct(other, {
          rows: 32,
          inner: 48,
          columns: 32,
          transposeA: true,
          types: ["f16", "f16", "f16"],
        });
    },
    limitMs(240_000),
  );
});

test("of several sizes, the one that wastes least is used", () => {
  const several = emulatingGpu(gpu, OTHERS.slice(0, 2));
  const columnsFor = (images: number, size: number) => {
    const { shapes, options } = layer(square(images, 32, size, 32, 3), 1);
    const [x, y] = [unwritten(several, shapes.x, "f16"), unwritten(several, shapes.y, "f16")];
    const weight = unwritten(several, shapes.weight, "f32");
    const commands = captureCommands(several, "matrix", () => launchConv2d({ x, weight, y }, options));
    return commands.map(({ launch }) => launch.spec!.N);
  };
  // One image of 8 columns fills half a matrix of 16. If nothing is wasted, larger matrices are loaded less often.
  expect([columnsFor(1, 8), columnsFor(128, 16)]).toEqual([[8], [16]]);
});
