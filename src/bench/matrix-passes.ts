/** One small case of each matrix kernel for the self-test: f16 activations, against float64 of the numbers as they are rounded. */
import type { Gpu } from "../gpu/gpu.ts";
import { launchConv2d, launchConv2dGradInput } from "../kernels/conv2d.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../kernels/conv2d-grad-weight.ts";
import { launchMatmul } from "../kernels/matmul.ts";
import { largest, roundingBound } from "../reference/close.ts";
import { conv2d, conv2dInputGradient, conv2dWeightGradient } from "../reference/conv2d.ts";
import { matmul } from "../reference/matmul.ts";
import { float16Step, roundToFloat16 } from "../support/float16.ts";
import { sizeOf } from "../tensor/shape.ts";
import { empty, fromArray, type Tensor } from "../tensor/tensor.ts";
import { numbers, type Output, type PreparedPass } from "./pass.ts";

/** A layer and a product that fill the matrices of any adapter. */
const LAYER = { N: 4, C: 16, H: 8, W: 8, K: 16, R: 3, S: 3, stride: 1, padding: 1 };
const SIDE = 64;

export function matrixPasses(gpu: Gpu): readonly (PreparedPass & { readonly name: string })[] {
  const make = numbers(1);
  // Weights of f16 too: whether they are rounded is the adapter's choice of matrices.
  const rounded = (shape: readonly number[]) => make(sizeOf(shape)).map(roundToFloat16);
  const stored = (data: Float32Array<ArrayBuffer>, shape: readonly number[]) =>
    fromArray(gpu, data, shape, "operand", "f16");
  const output = (shape: readonly number[], type: "f32" | "f16") => {
    const nothing = new Float32Array(sizeOf(shape)).fill(Number.NaN);
    return fromArray(gpu, nothing, shape, "output", type);
  };
  const { N, C, H, W, K, R, S } = LAYER;
  const shapes = { x: [N, C, H, W], weight: [K, C, R, S], y: [N, K, H, W] };
  const host = { x: rounded(shapes.x), weight: rounded(shapes.weight), dy: rounded(shapes.y) };
  const x = stored(host.x, shapes.x);
  const dy = stored(host.dy, shapes.y);
  const weight = fromArray(gpu, host.weight, shapes.weight);
  const [y, dx] = [output(shapes.y, "f16"), output(shapes.x, "f16")];
  const dweight = output(shapes.weight, "f32");
  const square = [SIDE, SIDE];
  const [a, b] = [rounded(square), rounded(square)];
  const c = output(square, "f16");
  const product = { a: stored(a, square), b: fromArray(gpu, b, square), c };
  const one = (name: string, tensor: Tensor, terms: number, reference: () => Float64Array) => ({
    name,
    outputs: [sumOf(name, tensor, terms, reference)],
  });
  return [
    {
      ...one("conv2d/forward", y, C * R * S, () => conv2d(host, LAYER)),
      launch: () => launchConv2d({ x, weight, y }, LAYER),
    },
    {
      ...one("conv2d/grad-input", dx, K * R * S, () => conv2dInputGradient(host, LAYER)),
      launch: () => launchConv2dGradInput({ dy, weight, dx }, LAYER),
    },
    {
      ...one("conv2d/grad-weight", dweight, N * H * W, () => conv2dWeightGradient(host, LAYER)),
      launch: () => {
        const partials = empty(gpu, [gradWeightPartials(x, shapes.weight, LAYER).elements]);
        launchConv2dGradWeight({ x, dy, partials, dweight }, LAYER);
      },
    },
    {
      ...one("matmul", c, SIDE, () => matmul({ a, b }, { rows: SIDE, inner: SIDE, columns: SIDE })),
      launch: () => launchMatmul(product),
    },
  ];
}

/** Sums in f32 of `terms` products of normal numbers, and half a step of f16 where they are stored so. */
function sumOf(name: string, tensor: Tensor, terms: number, reference: () => Float64Array): Output {
  return {
    name,
    tensor,
    reference,
    bound: (values) => {
      const scale = largest(values);
      const stored = tensor.dtype === "f16" ? float16Step(scale) / 2 : 0;
      // The terms' sizes sum to about terms · 2/π.
      return roundingBound({ terms, scale: Math.max(scale, terms) }) + stored;
    },
  };
}
