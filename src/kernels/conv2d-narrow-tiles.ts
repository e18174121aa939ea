/**
 * Tiles of the convolution kernels for 8-lane subgroups: of the tiles that the driver can unroll and compile quickly, the
 * one with the lowest estimated time, or the fastest measured one of those with the lowest estimates. A tile depends only
 * on the layer, never on the batch, and so does the result.
 */
import type { Tuning } from "../gpu/tuning.ts";
import type { DataType } from "../tensor/tensor.ts";
import type { Conv2dGeometry, GatherForm } from "./conv2d-geometry.ts";
import { cheapest, chooseTile, layerText, remembered, typeText } from "./tile-choice.ts";

const LANES = 8;

/**
 * Nanoseconds on 8 lanes, fitted to 130 random tiles on lavapipe (Mesa 26.1, one AVX-512 core, November 2026). A load of 8
 * input pixels includes spreading them to all lanes; `load` is one of weights or of dy; `carry` is an accumulator's way
 * through memory from step to step; `store` is an output pixel.
 */
const COST = { multiplyAdd: 0.55, inputLoad: 11, load: 6, carry: 0.6, step: 20, store: 45 };

/** lavapipe unrolls loops of up to 32 iterations; code that is not unrolled is 20 times slower. */
const MOST_UNROLLED = 32;
/**
 * Multiply-adds of an unrolled step, 8 × 8 pixels of 16 channels under a 3×3 filter: a tenth faster than half of them, 1 s to
 * compile instead of 0.5. A weight gradient gains nothing from so many, and is slower at 16 channels.
 */
const MOST_MULTIPLY_ADDS = { gather: 1152, gradWeight: 832 };
/** An unrolled multiply-add takes about 1 ms to compile; spread over 25,000 images, half an epoch of CIFAR, ns. */
const COMPILE = 40;

/** Spec constants of `forward-narrow.wgsl`, except sizes of the layer. */
export interface GatherTile {
  readonly IMAGES: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly GROUPS: number;
  readonly TAP_ROWS: number;
}

interface GatherPass extends Conv2dGeometry {
  readonly transposed: boolean;
}

/**
 * The tile for a forward pass or, transposed, an input gradient; null if none can be unrolled (e.g. a filter with more than
 * 32 columns).
 * @param sizes  as the kernel sees them: from C channels to K channels of P × Q pixels
 * @param tuning may choose another one of those with the lowest estimates
 */
export function gatherTile(sizes: Conv2dGeometry, form: GatherForm, tuning?: Tuning): GatherTile | null {
  const pass = { ...sizes, transposed: form.transposed };
  const kind = gatherChoice(sizes, form);
  const tiles = remembered(kind, () => cheapest(gatherTiles(pass), (tile) => gatherTime(pass, tile)));
  return chooseTile(tuning, kind, tiles, sizes.N * sizes.K * sizes.P * sizes.Q);
}

/** The key of the choice of a `gatherTile`. */
export function gatherChoice(sizes: Conv2dGeometry, { transposed, type }: GatherForm): string {
  return `conv2d/forward-narrow ${layerText(sizes)}${transposed ? " transposed" : ""}${typeText(type)}`;
}

function* gatherTiles({ K, P, Q, R, stride, transposed }: GatherPass): Generator<GatherTile> {
  // Tiles and steps of an input gradient start at multiples of the stride, so that every pixel's taps are known.
  const step = transposed ? stride : 1;
  for (const IMAGES of P * Q < 32 ? [1, 2, 4, 8] : [1])
    for (const ROWS of cuts(P, 8, step))
      for (const COLUMNS of cuts(Q, 16, step))
        for (const GROUPS of [1, 2, 4].filter((groups) => groups === 1 || (groups - 1) * LANES < K))
          for (const TAP_ROWS of new Set([R, ...cuts(R, R, step)]))
            yield { IMAGES, ROWS, COLUMNS, GROUPS, TAP_ROWS };
}

/** Estimated time for one image and its share of the compilation, ns. */
function gatherTime(pass: GatherPass, { IMAGES, ROWS, COLUMNS, GROUPS, TAP_ROWS }: GatherTile): number {
  const { C, K, P, Q, R, S, stride, padding, transposed } = pass;
  const inRows = transposed ? exchanged(ROWS, TAP_ROWS, stride, padding) : met(ROWS, TAP_ROWS, stride);
  const inColumns = transposed ? exchanged(COLUMNS, S, stride, padding) : met(COLUMNS, S, stride);
  const pixels = IMAGES * ROWS * COLUMNS;
  const loads = Math.ceil((IMAGES * inRows * inColumns) / LANES);
  const multiplyAdds = (pixels * GROUPS * TAP_ROWS * S) / (transposed ? stride ** 2 : 1);
  const accumulators = pixels * GROUPS;
  if (
    Math.max(loads, inRows, inColumns, S, TAP_ROWS) > MOST_UNROLLED ||
    multiplyAdds > MOST_MULTIPLY_ADDS.gather ||
    accumulators > 128
  ) {
    return Number.POSITIVE_INFINITY;
  }
  const step =
    multiplyAdds * COST.multiplyAdd +
    loads * COST.inputLoad +
    GROUPS * TAP_ROWS * S * COST.load +
    accumulators * COST.carry +
    COST.step;
  const workgroup = step * Math.ceil(R / TAP_ROWS) * C + accumulators * COST.store;
  const workgroups =
    (Math.ceil(P / ROWS) * Math.ceil(Q / COLUMNS) * Math.ceil(K / (LANES * GROUPS))) / IMAGES;
  return workgroups * workgroup + multiplyAdds * COMPILE;
}

/** Spec constants of `grad-weight-narrow.wgsl`, except sizes of the layer. */
export interface GradWeightTile {
  readonly CHANNELS: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly GROUPS: number;
  readonly TAP_ROWS: number;
  /** Number of runs of pixels, relative to the default. */
  readonly RUNS?: number;
}

/** The tile for a weight gradient; null if none can be unrolled. `tuning` as for `gatherTile`. */
export function gradWeightTile(
  geometry: Conv2dGeometry,
  type: DataType,
  tuning?: Tuning,
): GradWeightTile | null {
  const kind = gradWeightChoice(geometry, type);
  const tiles = remembered(kind, (): GradWeightTile[] => {
    const near = cheapest(gradWeightTiles(geometry), (tile) => gradWeightTime(geometry, tile));
    return [...near, ...near.slice(0, 1).flatMap((tile) => [0.5, 2].map((RUNS) => ({ ...tile, RUNS })))];
  });
  const { K, C, R, S } = geometry;
  return chooseTile(tuning, kind, tiles, K * C * R * S);
}

/** The key of the choice of a `gradWeightTile`. */
export function gradWeightChoice(geometry: Conv2dGeometry, type: DataType): string {
  return `conv2d/grad-weight-narrow ${layerText(geometry)}${typeText(type)}`;
}

function* gradWeightTiles({ C, K, P, Q, R }: Conv2dGeometry): Generator<GradWeightTile> {
  for (const CHANNELS of cuts(C, 16))
    for (const ROWS of cuts(P, 4))
      for (const COLUMNS of cuts(Q, 16))
        for (const GROUPS of [1, 2, 4].filter((groups) => groups === 1 || (groups - 1) * LANES < K))
          for (const TAP_ROWS of cuts(R, R)) yield { CHANNELS, ROWS, COLUMNS, GROUPS, TAP_ROWS };
}

/** Estimated time for one image and its share of the compilation, ns. */
function gradWeightTime(
  geometry: Conv2dGeometry,
  { CHANNELS, ROWS, COLUMNS, GROUPS, TAP_ROWS }: GradWeightTile,
): number {
  const { C, K, P, Q, R, S, stride } = geometry;
  const inRows = met(ROWS, TAP_ROWS, stride);
  const inColumns = met(COLUMNS, S, stride);
  const inputs = CHANNELS * inRows * inColumns;
  const loads = Math.ceil(inputs / LANES);
  const accumulators = CHANNELS * TAP_ROWS * S * GROUPS;
  const multiplyAdds = accumulators * ROWS * COLUMNS;
  if (
    Math.max(loads, inRows, inColumns, S, TAP_ROWS) > MOST_UNROLLED ||
    multiplyAdds > MOST_MULTIPLY_ADDS.gradWeight ||
    accumulators > 100
  ) {
    return Number.POSITIVE_INFINITY;
  }
  const step =
    multiplyAdds * COST.multiplyAdd +
    loads * COST.inputLoad +
    ROWS * COLUMNS * GROUPS * COST.load +
    accumulators * COST.carry +
    COST.step;
  const tiles = Math.ceil(P / ROWS) * Math.ceil(Q / COLUMNS);
  const workgroups = Math.ceil(K / (LANES * GROUPS)) * Math.ceil(C / CHANNELS) * Math.ceil(R / TAP_ROWS);
  return workgroups * tiles * step + multiplyAdds * COMPILE;
}

/** Input rows (or columns) that `count` neighbouring outputs read: IN_ROWS in the kernels. */
function met(count: number, taps: number, stride: number): number {
  return (count - 1) * Math.min(stride, taps) + taps;
}

/** The same for an input gradient, whose outputs are the pixels of dx. */
function exchanged(count: number, taps: number, stride: number, padding: number): number {
  const lift = padding + stride * taps;
  return Math.floor((count - 1 + lift) / stride) + 1 - Math.floor((lift + 1 - taps) / stride);
}

/** The multiples of `step` up to `most` that divide `length` into equal parts with the least remainder; ascending. */
function cuts(length: number, most: number, step = 1): Set<number> {
  const parts = Array.from({ length }, (_, i) => Math.ceil(length / (length - i) / step) * step);
  return new Set(parts.filter((part) => part <= Math.max(most, step)));
}
