/**
 * Tiles of the convolution kernels for 8-lane subgroups: of the tiles that the driver can unroll and compile fast, the
 * one whose estimated time is least. A tile depends on the layer alone, never on the batch, so a result does not.
 */
import type { Conv2dGeometry } from "./conv2d-geometry.ts";

const LANES = 8;

/** Nanoseconds per operation on 8 lanes: lavapipe (Mesa 26.1, AVX-512VL at about 3 GHz), one core, November 2026. */
const COST = { multiplyAdd: 0.4, load: 7, spread: 0.7, carried: 1, trip: 20 };

/** lavapipe unrolls loops of up to 32 trips; what is not unrolled is 20 times slower. */
const MOST_TRIPS = 32;
/** Multiply-adds of an unrolled step: at 1,152 a pipeline takes a second to compile, at 640 half of one. */
const MOST_MULTIPLY_ADDS = 832;

/** What `forward-narrow.wgsl` takes as spec constants, sizes of the layer aside. */
export interface GatherTile {
  readonly IMAGES: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly GROUPS: number;
  readonly TAP_ROWS: number;
}

/** One pass as the kernel sees it: K output channels of P × Q pixels. */
export type GatherPass = Pick<Conv2dGeometry, "K" | "P" | "Q" | "R" | "S" | "stride" | "padding"> & { transposed: boolean };

/** The tile for a forward pass or an input gradient; null where none can be unrolled (a filter of over 32 columns, say). */
export function gatherTile(pass: GatherPass): GatherTile | null {
  return remembered(`gather ${Object.values(pass)}`, () => cheapest(gatherTiles(pass), (tile) => gatherTime(pass, tile)));
}

function* gatherTiles({ K, P, Q, R, stride, transposed }: GatherPass): Generator<GatherTile> {
  // Tiles and steps of an input gradient start at multiples of the stride, so that every pixel's taps are known.
  const step = transposed ? stride : 1;
  for (const IMAGES of P * Q < 32 ? [1, 2, 4, 8] : [1])
    for (const ROWS of multiples(step, Math.min(P, 8)))
      for (const COLUMNS of multiples(step, Math.min(Q, 16)))
        for (const GROUPS of [1, 2, 4].filter((groups) => groups === 1 || (groups - 1) * LANES < K))
          for (const TAP_ROWS of new Set([R, ...multiples(step, R)])) yield { IMAGES, ROWS, COLUMNS, GROUPS, TAP_ROWS };
}

/** Estimated time for one image and one input channel, ns. */
function gatherTime(pass: GatherPass, { IMAGES, ROWS, COLUMNS, GROUPS, TAP_ROWS }: GatherTile): number {
  const { K, P, Q, R, S, stride, padding, transposed } = pass;
  const inRows = transposed ? exchanged(ROWS, TAP_ROWS, stride, padding) : met(ROWS, TAP_ROWS, stride);
  const inColumns = transposed ? exchanged(COLUMNS, S, stride, padding) : met(COLUMNS, S, stride);
  const pixels = IMAGES * ROWS * COLUMNS;
  const loads = Math.ceil((IMAGES * inRows * inColumns) / LANES);
  const multiplyAdds = (pixels * GROUPS * TAP_ROWS * S) / (transposed ? stride ** 2 : 1);
  const accumulators = pixels * GROUPS;
  if (Math.max(loads, inRows, inColumns, S, TAP_ROWS) > MOST_TRIPS || multiplyAdds > MOST_MULTIPLY_ADDS || accumulators > 128) {
    return Number.POSITIVE_INFINITY;
  }
  const step =
    multiplyAdds * COST.multiplyAdd +
    (loads + GROUPS * TAP_ROWS * S) * COST.load +
    IMAGES * inRows * inColumns * COST.spread +
    accumulators * COST.carried +
    COST.trip;
  const steps = Math.ceil(P / ROWS) * Math.ceil(Q / COLUMNS) * Math.ceil(K / (LANES * GROUPS)) * Math.ceil(R / TAP_ROWS);
  return (step * steps) / IMAGES;
}

/** What `grad-weight-narrow.wgsl` takes as spec constants, sizes of the layer aside. */
export interface GradWeightTile {
  readonly CHANNELS: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly GROUPS: number;
  readonly TAP_ROWS: number;
}

/** The tile for a weight gradient; null where none can be unrolled. */
export function gradWeightTile(geometry: Conv2dGeometry): GradWeightTile | null {
  const { N: _, ...layer } = geometry;
  return remembered(`weight ${Object.values(layer)}`, () =>
    cheapest(gradWeightTiles(geometry), (tile) => gradWeightTime(geometry, tile)),
  );
}

function* gradWeightTiles({ C, K, P, Q, R }: Conv2dGeometry): Generator<GradWeightTile> {
  for (const CHANNELS of multiples(1, Math.min(C, 16)))
    for (const ROWS of multiples(1, Math.min(P, 4)))
      for (const COLUMNS of multiples(1, Math.min(Q, 16)))
        for (const GROUPS of [1, 2, 4].filter((groups) => groups === 1 || (groups - 1) * LANES < K))
          for (const TAP_ROWS of multiples(1, R)) yield { CHANNELS, ROWS, COLUMNS, GROUPS, TAP_ROWS };
}

/** Estimated time for one image, ns. */
function gradWeightTime(geometry: Conv2dGeometry, { CHANNELS, ROWS, COLUMNS, GROUPS, TAP_ROWS }: GradWeightTile): number {
  const { C, K, P, Q, R, S, stride } = geometry;
  const inRows = met(ROWS, TAP_ROWS, stride);
  const inColumns = met(COLUMNS, S, stride);
  const inputs = CHANNELS * inRows * inColumns;
  const loads = Math.ceil(inputs / LANES);
  const accumulators = CHANNELS * TAP_ROWS * S * GROUPS;
  const multiplyAdds = accumulators * ROWS * COLUMNS;
  if (Math.max(loads, inRows, inColumns, S, TAP_ROWS) > MOST_TRIPS || multiplyAdds > MOST_MULTIPLY_ADDS || accumulators > 100) {
    return Number.POSITIVE_INFINITY;
  }
  const step =
    multiplyAdds * COST.multiplyAdd +
    (loads + ROWS * COLUMNS * GROUPS) * COST.load +
    inputs * COST.spread +
    accumulators * COST.carried +
    COST.trip;
  const tiles = Math.ceil(P / ROWS) * Math.ceil(Q / COLUMNS);
  return step * tiles * Math.ceil(K / (LANES * GROUPS)) * Math.ceil(C / CHANNELS) * Math.ceil(R / TAP_ROWS);
}

/** Input rows (or columns) that `count` neighbouring outputs meet: as IN_ROWS in the kernels. */
function met(count: number, taps: number, stride: number): number {
  return (count - 1) * Math.min(stride, taps) + taps;
}

/** The same for an input gradient, where the outputs are the pixels of dx. */
function exchanged(count: number, taps: number, stride: number, padding: number): number {
  const lift = padding + stride * taps;
  return Math.floor((count - 1 + lift) / stride) + 1 - Math.floor((lift + 1 - taps) / stride);
}

/** step, 2·step, … as far as `most` needs. */
function multiples(step: number, most: number): number[] {
  return Array.from({ length: Math.ceil(most / step) }, (_, i) => (i + 1) * step);
}

function cheapest<T>(tiles: Iterable<T>, time: (tile: T) => number): T | null {
  let best: T | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const tile of tiles) {
    const estimate = time(tile);
    if (estimate < least) [best, least] = [tile, estimate];
  }
  return best;
}

const chosen = new Map<string, unknown>();

function remembered<T>(key: string, choose: () => T): T {
  if (!chosen.has(key)) chosen.set(key, choose());
  return chosen.get(key) as T;
}
