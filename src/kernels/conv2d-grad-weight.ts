/** Launcher of conv2d's weight gradient: partial sums over runs of output pixels, then their sum in a fixed order. */
import { defineKernel } from "../gpu/kernel.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Conv2dGeometry, type Conv2dOptions, conv2dBytes, conv2dFlops, conv2dGeometry } from "./conv2d-geometry.ts";

const TILED = defineKernel({
  file: "conv2d/grad-weight.wgsl",
  bindings: ["x", "dy", "partials"],
  overrides: ["C", "H", "W", "K", "P", "Q", "R", "S", "STRIDE", "PADDING"],
  params: ["pixels", "pixels_per_split", "depth"],
  spec: ["TM", "TN", "THREADS_M", "THREADS_N", "DEPTH"],
});

const SUM_PARTIALS = defineKernel({
  file: "conv2d/sum-partials.wgsl",
  bindings: ["partials", "dweight"],
  overrides: ["ACCUMULATE"],
  params: ["elements", "splits"],
});
const SUM_COLUMNS = 32; // COLUMNS of the file

/** Sizes of the scratch tensor that a weight gradient needs. */
export interface GradWeightPartials {
  /** Runs of output pixels that are summed by themselves. */
  readonly splits: number;
  /** Numbers in all: splits · K · C · R · S. */
  readonly elements: number;
}

/** The partial sums for x and weight (or dweight) of these shapes. */
export function gradWeightPartials(
  gpu: Gpu,
  x: readonly number[],
  weight: readonly number[],
  options: Conv2dOptions,
): GradWeightPartials {
  const geometry = conv2dGeometry(x, weight, options);
  const { splits } = planTiled(geometry);
  return { splits, elements: splits * geometry.K * geometry.C * geometry.R * geometry.S };
}

/**
 * dweight[k,c,r,s] = Σ_n Σ_p Σ_q dy[n,k,p,q] · x[n, c, p·stride + r − padding, q·stride + s − padding], in two dispatches.
 *
 * @param x           [N, C, H, W]
 * @param dy          [N, K, P, Q]
 * @param partials    scratch of `gradWeightPartials(…).elements` numbers, overwritten
 * @param dweight     [K, C, R, S], written, or added to
 * @param accumulate  add to what dweight holds
 */
export function launchConv2dGradWeight(
  { x, dy, partials, dweight }: { x: Tensor; dy: Tensor; partials: Tensor; dweight: Tensor },
  { accumulate = false, ...options }: Conv2dOptions & { accumulate?: boolean },
): void {
  const geometry = conv2dGeometry(x.shape, dweight.shape, options);
  const { N, C, H, W, K, R, S, P, Q, stride, padding } = geometry;
  const { splits, pixelsPerSplit, tiles, spec } = planTiled(geometry);
  x.gpu.run(TILED, {
    buffers: { x, dy, partials },
    overrides: { C, H, W, K, P, Q, R, S, STRIDE: stride, PADDING: padding },
    params: { pixels: N * P * Q, pixels_per_split: pixelsPerSplit, depth: spec.DEPTH },
    spec,
    workgroups: [...tiles, splits],
    cost: { flops: conv2dFlops(geometry), bytes: conv2dBytes(geometry) + 4 * (splits - 1) * dweight.size },
  });
  x.gpu.run(SUM_PARTIALS, {
    buffers: { partials, dweight },
    overrides: { ACCUMULATE: accumulate },
    params: { elements: dweight.size, splits },
    workgroups: [Math.ceil(dweight.size / SUM_COLUMNS)],
    cost: { flops: splits * dweight.size, bytes: 4 * (splits + 1) * dweight.size },
  });
}

// Enough workgroups for a large GPU (132 multiprocessors of an H100, several workgroups each) …
const WORKGROUPS = 1024;
// … unless a split would have so few pixels that writing and summing its partial sums costs more than making them,
const LEAST_PIXELS = 256;
// or the partial sums would take more memory than the largest activations do.
const MOST_PARTIALS = 2 ** 23;

function planTiled({ N, C, K, R, S, P, Q }: Conv2dGeometry) {
  const weights = C * R * S;
  const [THREADS_M, THREADS_N] = K <= 16 ? [2, 32] : K <= 32 ? [4, 16] : [8, 16];
  const spec = { TM: 8, TN: 4, THREADS_M, THREADS_N, DEPTH: 16 };
  const tiles = [Math.ceil(K / (spec.TM * THREADS_M)), Math.ceil(weights / (spec.TN * THREADS_N))] as const;
  const pixels = N * P * Q;
  const wanted = Math.min(WORKGROUPS / (tiles[0] * tiles[1]), pixels / LEAST_PIXELS, MOST_PARTIALS / (K * weights));
  const perSplit = pixels / Math.max(1, Math.floor(wanted));
  const pixelsPerSplit = Math.ceil(perSplit / spec.DEPTH) * spec.DEPTH;
  return { spec, tiles, pixelsPerSplit, splits: Math.ceil(pixels / pixelsPerSplit) };
}
