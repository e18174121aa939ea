/** Launcher of conv2d's weight gradient: partial sums over runs of output pixels, then their sum in a fixed order. */
import type { Gpu } from "../gpu/gpu.ts";
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import type { DataType, Tensor } from "../tensor/tensor.ts";
import { type Conv2dGeometry, type Conv2dOptions, conv2dFlops, conv2dGeometry } from "./conv2d-geometry.ts";
import { gradWeightMatrixChoice, gradWeightMatrixTile } from "./conv2d-grad-weight-matrix.ts";
import {
  gradWeightPatchChoice,
  gradWeightPatchTile,
  gradWeightPatchWays,
  LEAST_PIXELS,
} from "./conv2d-grad-weight-patch.ts";
import { type GradWeightPlan, runsOf, storedIn, weightSize } from "./conv2d-grad-weight-runs.ts";
import { gradWeightChoice, gradWeightTile } from "./conv2d-narrow-tiles.ts";
import { type tiledGradWeight, tiledGradWeights, unrolled } from "./conv2d-tiled.ts";
import { bytesOf, storedType } from "./element.ts";
import { launchSumRows } from "./sum-rows.ts";
import { chooseTile, layerText, typeText } from "./tile-choice.ts";

const TILED = defineKernel({
  file: "conv2d/grad-weight.wgsl",
  bindings: ["x", "dy", "partials"],
  overrides: ["C", "H", "W", "K", "P", "Q", "R", "S", "STRIDE", "PADDING"],
  params: ["pixels", "pixels_per_split"],
  spec: ["TM", "TN", "THREADS_M", "THREADS_N", "DEPTH", "UNROLL", "Stored"],
});

const PATCH = defineKernel({
  file: "conv2d/grad-weight-patch.wgsl",
  bindings: ["x", "dy", "partials"],
  overrides: ["C", "H", "W", "K", "P", "Q", "PADDING"],
  params: ["tiles", "tiles_per_split"],
  spec: [
    "R",
    "S",
    "STRIDE",
    "TM",
    "THREADS_M",
    "THREADS_C",
    "TEAMS",
    "ROWS",
    "COLUMNS",
    "PATCH_LANES",
    "Stored",
  ],
});

const MATRIX = defineKernel({
  file: "conv2d/grad-weight-matrix.wgsl",
  bindings: ["x", "dy", "partials"],
  overrides: ["C", "H", "W", "K", "P", "Q"],
  params: ["images", "tiles", "tiles_per_split"],
  spec: [
    ...(["StoredX", "StoredDy", "WIDTH_X", "WIDTH_DY", "Component", "M", "N", "D", "LANES"] as const),
    ...([
      "SUBGROUPS_M",
      "SUBGROUPS_D",
      "BLOCKS_M",
      "BLOCKS_N",
      "ROWS",
      "IMAGES",
      "COLUMNS",
      "TAP_ROWS",
    ] as const),
    ...(["R", "S", "STRIDE", "PADDING"] as const),
  ],
});

const NARROW = defineKernel({
  file: "conv2d/grad-weight-narrow.wgsl",
  bindings: ["x", "dy", "partials"],
  overrides: ["C", "H", "W", "K", "P", "Q", "R"],
  params: ["tiles", "tiles_per_split"],
  spec: ["S", "STRIDE", "PADDING", "TAP_ROWS", "CHANNELS", "ROWS", "COLUMNS", "GROUPS", "Stored"],
});

/** The scratch tensor that a weight gradient needs: [splits, K, C, R, S], or any shape with that many numbers. */
export interface GradWeightPartials {
  /** Number of runs of output pixels that are summed separately. */
  readonly splits: number;
  /** Numbers in all: splits · K · C · R · S. */
  readonly elements: number;
}

/**
 * The partial sums of the weight gradient for x [N, C, H, W] and weight [K, C, R, S].
 * @throws ShapeError as `conv2dGeometry`
 */
export function gradWeightPartials(
  x: Tensor,
  weight: readonly number[],
  options: Conv2dOptions,
): GradWeightPartials {
  const geometry = conv2dGeometry(x.shape, weight, options);
  const { splits } = plan(x, geometry);
  return { splits, elements: splits * weightSize(geometry) };
}

/**
 * The partial sums of `launchConv2dGradWeight`, in one dispatch.
 *
 * @param partials [splits, …] of `gradWeightPartials(…)`, written
 * @param weight   the weight's shape, [K, C, R, S]
 */
export function launchConv2dGradWeightPartials(
  { x, dy, partials }: { x: Tensor; dy: Tensor; partials: Tensor },
  weight: readonly number[],
  options: Conv2dOptions,
): void {
  plan(x, conv2dGeometry(x.shape, weight, options)).run({ x, dy, partials });
}

/**
 * dweight[k,c,r,s] = Σ_n Σ_p Σ_q dy[n,k,p,q] · x[n, c, p·stride + r − padding, q·stride + s − padding], in two dispatches.
 *
 * @param x           [N, C, H, W], f32 or f16
 * @param dy          [N, K, P, Q], of x's type
 * @param partials    scratch of exactly `gradWeightPartials(…).elements` numbers, overwritten
 * @param dweight     [K, C, R, S], written, or added to
 * @param accumulate  add to dweight instead of overwriting it
 */
export function launchConv2dGradWeight(
  { x, dy, partials, dweight }: { x: Tensor; dy: Tensor; partials: Tensor; dweight: Tensor },
  { accumulate = false, ...options }: Conv2dOptions & { accumulate?: boolean },
): void {
  const geometry = conv2dGeometry(x.shape, dweight.shape, options);
  plan(x, geometry).run({ x, dy, partials });
  launchSumRows({ x: partials, y: dweight }, { accumulate });
}

/** @param x its type decides: only f16 activations use matrices */
function plan({ gpu, dtype }: Tensor, geometry: Conv2dGeometry): GradWeightPlan {
  const matrix = gpu.variant === "matrix" ? planMatrix(gpu, geometry, dtype) : null;
  return matrix ?? PLANS[gpu.baseVariant](gpu, geometry, dtype);
}

const PLANS: ByVariant<(gpu: Gpu, geometry: Conv2dGeometry, type: DataType) => GradWeightPlan> = {
  narrow: (gpu, geometry, type) => planNarrow(gpu, geometry, type) ?? planWide(gpu, geometry, type),
  wide: planWide,
};

function planWide(gpu: Gpu, geometry: Conv2dGeometry, type: DataType): GradWeightPlan {
  return planPatch(gpu, geometry, type) ?? planTiled(gpu, geometry, type);
}

/**
 * Workgroups of each wide kernel: several for each of the 132 multiprocessors of an H100. A workgroup of the patch or
 * matrix kernel does the work of several of the general kernel's, so fewer runs suffice, with fewer partial sums.
 */
const WORKGROUPS = { patch: 512, matrix: 512, tiled: 1024 };

/** @returns null if the general kernel is better */
function planPatch(gpu: Gpu, geometry: Conv2dGeometry, type: DataType): GradWeightPlan | null {
  const way = gradWeightPatchTile(gpu, geometry, type);
  if (way === null) return null;
  const { RUNS = 1, ...tile } = way;
  const { N, C, H, W, K, R, S, P, Q, stride, padding } = geometry;
  const grid = [Math.ceil(K / (tile.TM * tile.THREADS_M)), Math.ceil(C / tile.THREADS_C)] as const;
  const tiles = N * Math.ceil(P / tile.ROWS) * Math.ceil(Q / tile.COLUMNS);
  const least = Math.ceil((LEAST_PIXELS * tile.TEAMS) / (tile.ROWS * tile.COLUMNS) / RUNS);
  const runs = { workgroups: RUNS * WORKGROUPS.patch, tiles: grid[0] * grid[1], least };
  const { perSplit, splits } = runsOf(tiles, runs, weightSize(geometry));
  return {
    splits,
    run: (buffers) =>
      gpu.run(PATCH, {
        buffers,
        overrides: { C, H, W, K, P, Q, PADDING: padding },
        params: { tiles, tiles_per_split: perSplit },
        spec: { R, S, STRIDE: stride, ...tile, Stored: storedIn(buffers) },
        workgroups: [...grid, splits],
        cost: { flops: conv2dFlops(geometry), bytes: bytesOf(buffers) },
        choice: gradWeightPatchChoice(geometry, type),
      }),
  };
}

/** @returns null if the wide kernels are better, or the only ones: f32 activations stay f32 */
function planMatrix(gpu: Gpu, geometry: Conv2dGeometry, type: DataType): GradWeightPlan | null {
  const tile = gradWeightMatrixTile(gpu, geometry, type);
  if (tile === null) return null;
  const { N, C, H, W, K, R, S, P, Q, stride, padding } = geometry;
  const [WIDTH_X, WIDTH_DY] = [W % 4 === 0 ? 4 : 1, Q % 4 === 0 ? 4 : 1] as const;
  const grid = [
    Math.ceil(K / (tile.SUBGROUPS_M * tile.BLOCKS_M * tile.M)),
    Math.ceil(C / (tile.BLOCKS_N * tile.N)) * Math.ceil(R / tile.TAP_ROWS),
  ] as const;
  const tiles = Math.ceil(N / tile.IMAGES) * Math.ceil(P / tile.ROWS);
  const least = Math.ceil(LEAST_PIXELS / (tile.ROWS * tile.COLUMNS * tile.IMAGES));
  const runs = { workgroups: WORKGROUPS.matrix, tiles: grid[0] * grid[1], least };
  const { perSplit, splits } = runsOf(tiles, runs, weightSize(geometry));
  return {
    splits,
    run: (buffers) => {
      const stored = storedIn(buffers);
      gpu.run(MATRIX, {
        buffers,
        overrides: { C, H, W, K, P, Q },
        params: { images: N, tiles, tiles_per_split: perSplit },
        spec: {
          ...tile,
          ...{
            StoredX: storedType(stored, WIDTH_X),
            StoredDy: storedType(stored, WIDTH_DY),
            WIDTH_X,
            WIDTH_DY,
          },
          ...{ R, S, STRIDE: stride, PADDING: padding },
        },
        workgroups: [...grid, splits],
        cost: { flops: conv2dFlops(geometry), bytes: bytesOf(buffers) },
        choice: gradWeightMatrixChoice(geometry, type),
      });
    },
  };
}

function planTiled(gpu: Gpu, geometry: Conv2dGeometry, type: DataType): GradWeightPlan {
  const { N, C, H, W, K, R, S, P, Q, stride, padding } = geometry;
  const weights = C * R * S;
  const { way, choice } = tiledWay(gpu, geometry, type);
  const { RUNS = 1, ...spec } = way;
  const tiles = [
    Math.ceil(K / (spec.TM * spec.THREADS_M)),
    Math.ceil(weights / (spec.TN * spec.THREADS_N)),
  ] as const;
  const steps = Math.ceil((N * P * Q) / spec.DEPTH);
  const least = LEAST_PIXELS / spec.DEPTH / RUNS;
  const runs = { workgroups: RUNS * WORKGROUPS.tiled, tiles: tiles[0] * tiles[1], least };
  const { perSplit, splits } = runsOf(steps, runs, weightSize(geometry));
  return {
    splits,
    run: (buffers) =>
      gpu.run(TILED, {
        buffers,
        overrides: { C, H, W, K, P, Q, R, S, STRIDE: stride, PADDING: padding },
        params: { pixels: N * P * Q, pixels_per_split: perSplit * spec.DEPTH },
        spec: { ...spec, UNROLL: unrolled(gpu, spec.DEPTH), Stored: storedIn(buffers) },
        workgroups: [...tiles, splits],
        cost: { flops: conv2dFlops(geometry), bytes: bytesOf(buffers) },
        choice,
      }),
  };
}

/** The tile of grad-weight.wgsl, and the key of its choice: that of the patch kernel's tile if this one is a way of it, else its own. */
function tiledWay(
  gpu: Gpu,
  geometry: Conv2dGeometry,
  type: DataType,
): { way: ReturnType<typeof tiledGradWeight> & { readonly RUNS?: number }; choice: string } {
  const { N, K, C, R, S } = geometry;
  const ways = tiledGradWeights({ K, weights: C * R * S });
  if (gradWeightPatchWays(gpu, geometry).length > 0) {
    return { way: ways[0], choice: gradWeightPatchChoice(geometry, type) };
  }
  const choice = `conv2d/grad-weight N=${N} ${layerText(geometry)}${typeText(type)}`;
  return { way: chooseTile(gpu.tuning, choice, ways, weightSize(geometry))!, choice };
}

/** @returns null if no tile can be unrolled */
function planNarrow(gpu: Gpu, geometry: Conv2dGeometry, type: DataType): GradWeightPlan | null {
  const way = gradWeightTile(geometry, type, gpu.tuning);
  if (way === null) return null;
  const { RUNS = 1, ...tile } = way;
  const { N, C, H, W, K, R, S, P, Q, stride, padding } = geometry;
  const grid = [
    Math.ceil(K / (8 * tile.GROUPS)),
    Math.ceil(C / tile.CHANNELS) * Math.ceil(R / tile.TAP_ROWS),
  ] as const;
  const tiles = N * Math.ceil(P / tile.ROWS) * Math.ceil(Q / tile.COLUMNS);
  const choice = gradWeightChoice(geometry, type);
  // Enough workgroups for the processor's cores to finish together.
  const runs = { workgroups: 64 * RUNS, tiles: grid[0] * grid[1], least: 16 / RUNS };
  const { perSplit, splits } = runsOf(tiles, runs, weightSize(geometry));
  return {
    splits,
    run: (buffers) =>
      gpu.run(NARROW, {
        buffers,
        overrides: { C, H, W, K, P, Q, R },
        params: { tiles, tiles_per_split: perSplit },
        spec: { S, STRIDE: stride, PADDING: padding, ...tile, Stored: storedIn(buffers) },
        workgroups: [...grid, splits],
        cost: { flops: conv2dFlops(geometry), bytes: bytesOf(buffers) },
        choice,
      }),
  };
}
