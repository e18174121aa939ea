/** Layers and products that run on subgroup matrices, compared with float64 of the rounded operands, element by element. */
import type { Gpu } from "../../src/gpu/gpu.ts";
import { launchConv2d, launchConv2dGradInput } from "../../src/kernels/conv2d.ts";
import type { Conv2dOptions } from "../../src/kernels/conv2d-geometry.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../../src/kernels/conv2d-grad-weight.ts";
import { launchMatmul } from "../../src/kernels/matmul.ts";
import {
  type Conv2dSize,
  conv2d,
  conv2dInputGradient,
  conv2dOutputSize,
  conv2dWeightGradient,
} from "../../src/reference/conv2d.ts";
import { type MatmulSize, matmul } from "../../src/reference/matmul.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { empty, type FloatType, fromArray } from "../../src/tensor/tensor.ts";
import {
  absolute,
  expectRounded,
  type Numbers,
  rounded,
  runOnMatrices,
  unwritten,
} from "./matrix-results.ts";

export interface Layer extends Conv2dSize {
  /** Add to the gradients instead of overwriting them. */
  readonly accumulate?: boolean;
}

/** Random operands for a layer, those in f16 already rounded. */
export function layer(size: Layer, seed: number) {
  const { N, C, H, W, K, R, S, stride, padding } = size;
  const { P, Q } = conv2dOutputSize(size);
  const data = randomData(seed);
  const shapes = { x: [N, C, H, W], weight: [K, C, R, S], y: [N, K, P, Q] };
  const x = rounded(data.normals(sizeOf(shapes.x), { mean: 0.2 }));
  const dy = rounded(data.normals(sizeOf(shapes.y)));
  const weight = data.normals(sizeOf(shapes.weight));
  return { x, dy, weight, shapes, data, options: { stride, padding } as Conv2dOptions };
}

/**
 * Runs a convolution forward and backward on matrices and compares each element with float64.
 *
 * @param component the element type of the matrices, to which weights are rounded
 */
export async function checkLayer(on: Gpu, size: Layer, component: "f16" | "f32" = "f16"): Promise<void> {
  const { N, C, K, R, S, accumulate = false } = size;
  const { x, dy, weight, shapes, data, options } = layer(size, 7);
  const [, , P, Q] = shapes.y as [number, number, number, number];
  const host = { x, dy, weight: component === "f16" ? rounded(weight) : weight };
  const sizes = { x: absolute(x), dy: absolute(dy), weight: absolute(host.weight) };
  const before = {
    dx: rounded(data.normals(sizeOf(shapes.x))),
    dweight: data.normals(sizeOf(shapes.weight)),
  };
  const stored = (values: Numbers, shape: readonly number[]) => fromArray(on, values, shape, "x", "f16");
  const onGpu = {
    x: stored(x, shapes.x),
    dy: stored(dy, shapes.y),
    weight: fromArray(on, weight, shapes.weight),
  };
  const y = unwritten(on, shapes.y, "f16");
  const dx = accumulate ? stored(before.dx, shapes.x) : unwritten(on, shapes.x, "f16");
  const dweight = accumulate
    ? fromArray(on, before.dweight, shapes.weight)
    : unwritten(on, shapes.weight, "f32");
  await runOnMatrices(on, () => launchConv2d({ x: onGpu.x, weight: onGpu.weight, y }, options));
  await runOnMatrices(on, () =>
    launchConv2dGradInput({ dy: onGpu.dy, weight: onGpu.weight, dx }, { ...options, accumulate }),
  );
  await runOnMatrices(on, () => {
    const partials = empty(on, [gradWeightPartials(onGpu.x, shapes.weight, options).elements]);
    launchConv2dGradWeight({ x: onGpu.x, dy: onGpu.dy, partials, dweight }, { ...options, accumulate });
  });
  const added = (values: Float64Array, to: Numbers) =>
    accumulate ? values.map((value, i) => value + to[i]!) : values;
  await expectRounded("y", {
    tensor: y,
    reference: conv2d(host, size),
    magnitude: conv2d(sizes, size),
    terms: C * R * S,
  });
  await expectRounded("dx", {
    tensor: dx,
    reference: added(conv2dInputGradient(host, size), before.dx),
    magnitude: added(conv2dInputGradient(sizes, size), absolute(before.dx)),
    terms: K * R * S,
  });
  await expectRounded("dweight", {
    tensor: dweight,
    reference: added(conv2dWeightGradient(host, size), before.dweight),
    magnitude: added(conv2dWeightGradient(sizes, size), absolute(before.dweight)),
    terms: N * P * Q,
  });
}

export interface ProductCase extends MatmulSize {
  readonly types: readonly [a: FloatType, b: FloatType, c: FloatType];
  readonly bias?: boolean;
  readonly accumulate?: boolean;
}

/** Runs a product on matrices and compares each element with float64. */
export async function checkProduct(on: Gpu, one: ProductCase): Promise<void> {
  const { rows, inner, columns, transposeA = false, transposeB = false, types, bias = false } = one;
  const { accumulate = false } = one;
  const data = randomData(rows + inner);
  const [a, b] = [data.normals(rows * inner), data.normals(inner * columns)];
  const offsets = data.normals(columns, { deviation: 3 });
  const before = rounded(data.normals(rows * columns, { deviation: 3 }));
  const tensors = {
    a: fromArray(on, a, transposeA ? [inner, rows] : [rows, inner], "a", types[0]),
    b: fromArray(on, b, transposeB ? [columns, inner] : [inner, columns], "b", types[1]),
    ...(bias && { bias: fromArray(on, offsets) }),
    c: accumulate
      ? fromArray(on, before, [rows, columns], "c", types[2])
      : unwritten(on, [rows, columns], types[2]),
  };
  await runOnMatrices(on, () => launchMatmul(tensors, { transposeA, transposeB, accumulate }));
  const [left, right] = [rounded(a), rounded(b)];
  const sum = (operands: { a: Numbers; b: Numbers; bias?: Numbers }, add: Numbers) =>
    matmul(operands, one).map((value, i) => value + (accumulate ? add[i]! : 0));
  await expectRounded("c", {
    tensor: tensors.c,
    reference: sum({ a: left, b: right, ...(bias && { bias: offsets }) }, before),
    magnitude: sum(
      { a: absolute(left), b: absolute(right), ...(bias && { bias: absolute(offsets) }) },
      absolute(before),
    ),
    terms: inner,
  });
}

/** A layer with square images and filters, padded to keep the size. */
export const square = (N: number, C: number, size: number, K: number, filter: number, stride = 1): Layer => ({
  ...{ N, C, H: size, W: size, K, R: filter, S: filter, stride, padding: Math.floor(filter / 2) },
});
