/**
 * The gradient of a convolution's input if that input is a batch norm's output. The kernel also applies the gradient of the norm's ReLU, and
 * each tile leaves the sums that the norm's gradients need (ghost-batch-norm-gradients.ts), while the values are in registers.
 */
import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  type Conv2dGeometry,
  type Conv2dOptions,
  conv2dFlops,
  conv2dGeometry,
  type GatherForm,
  inputGradientSizes,
} from "./conv2d-geometry.ts";
import { gatherMatrixTile } from "./conv2d-matrix.ts";
import { PATCH_SPEC, patchChoice, patchGrid, patchTiles, patchTilesOfImage } from "./conv2d-patch.ts";
import { bytesOf, floatType } from "./element.ts";
import { type NormOptions, placeParams } from "./ghost-batch-norm-geometry.ts";
import { chooseTile } from "./tile-choice.ts";

const GRAD_INPUT_NORM = defineKernel({
  file: "conv2d/grad-input-norm-patch.wgsl",
  bindings: ["x", "weight", "norm_x", "statistics", "gamma_or_y", "beta", "y", "sums"],
  overrides: ["C", "H", "W", "K", "P", "Q", "PADDING", "ACCUMULATE", "GATE"],
  params: [
    ...(["images", "channels", "ghost_size", "ghosts", "first_ghost", "first_channel"] as const),
    ...(["total_channels", "eps"] as const),
  ],
  spec: [...PATCH_SPEC, "Stored", "Gate"],
});

/**
 * Tiles per image for which `launchConv2dGradInputNorm` leaves sums, unless tuning has chosen others. Null if it does not
 * compute this input gradient: on narrow adapters, whose norms find dy in a cache, if matrices compute it, and if the patch
 * kernels do not.
 */
export function gradInputNormTiles(
  { gpu, shape, dtype: type }: Tensor,
  weight: readonly number[],
  options: Conv2dOptions,
): number | null {
  if (gpu.baseVariant !== "wide") return null;
  const sizes = inputGradientSizes(conv2dGeometry(shape, weight, options));
  const form = { transposed: true, type };
  if (gpu.variant === "matrix" && gatherMatrixTile(gpu, sizes, form)) return null;
  const [usual] = patchTiles(gpu, sizes, form);
  return usual ? patchTilesOfImage(sizes, usual) : null;
}

function choiceOf(sizes: Conv2dGeometry, form: GatherForm): string {
  return `${patchChoice(sizes, form)} norm`;
}

/**
 * dx as `launchConv2dGradInput` computes it, but 0 where the norm's relu did not pass its output on; and
 * sums = (Σ dx, Σ dx · x̂) of that over each tile, where x̂ is the normalized input of the norm.
 *
 * @param t.dy              [N, K, P, Q], f32 or f16
 * @param t.weight          [K, C, R, S]
 * @param t.dx              [N, C, H, W], of dy's type, written, or added to
 * @param t.norm.x          of dx's shape and type, the norm's input
 * @param t.norm.y          of dx's shape and type, its output if a residual was added: the relu's sign is read from it; else it is recomputed from x
 * @param t.norm.statistics [rows, totalChannels, 2] of its forward pass
 * @param t.norm.gamma      [C]
 * @param t.norm.beta       [C]
 * @param t.scratch         gives memory for the sums
 * @param options.norm      how the norm was launched
 * @returns sums [N, tiles of an image, C, 2] f32
 */
export function launchConv2dGradInputNorm(
  t: {
    dy: Tensor;
    weight: Tensor;
    dx: Tensor;
    norm: { x: Tensor; y?: Tensor | undefined; statistics: Tensor; gamma: Tensor; beta: Tensor };
    scratch: (shape: readonly number[]) => Tensor;
  },
  { accumulate = false, norm, ...options }: Conv2dOptions & { accumulate?: boolean; norm: NormOptions },
): Tensor {
  const { dy, weight, dx } = t;
  const { gpu } = dx;
  const geometry = conv2dGeometry(dx.shape, weight.shape, options);
  const sizes = inputGradientSizes(geometry);
  const { N, C, H, W, K, P, Q, R, S, stride, padding } = sizes;
  const form = { transposed: true, type: dx.dtype };
  const choice = choiceOf(sizes, form);
  const tile = chooseTile(gpu.tuning, choice, patchTiles(gpu, sizes, form), N * K * P * Q)!;
  const sums = t.scratch([N, patchTilesOfImage(sizes, tile), K, 2]);
  const { total: _, ...place } = placeParams(norm, t.norm.statistics);
  const GATE = norm.relu ? (t.norm.y ? 2 : 1) : 0;
  const { x, y } = t.norm;
  const Stored = floatType("conv2d", { dy, dx, x, y });
  const tensors = 2 + (accumulate ? 1 : 0) + (GATE === 2 ? 1 : 0);
  gpu.run(GRAD_INPUT_NORM, {
    buffers: {
      x: dy,
      weight,
      norm_x: x,
      statistics: t.norm.statistics,
      gamma_or_y: GATE === 2 ? y! : t.norm.gamma,
      beta: t.norm.beta,
      y: dx,
      sums,
    },
    overrides: { C, H, W, K, P, Q, PADDING: padding, ACCUMULATE: accumulate, GATE },
    params: { images: N, channels: C, ...place, eps: norm.eps },
    spec: { R, S, STRIDE: stride, ...tile, Stored, Gate: GATE === 2 ? Stored : "f32" },
    workgroups: patchGrid(sizes, tile),
    cost: {
      flops: conv2dFlops(geometry),
      bytes: bytesOf({ dy, weight, sums }) + tensors * dx.byteLength,
    },
    choice,
  });
  return sums;
}
