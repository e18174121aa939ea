/**
 * How a product is cut for 8-lane subgroups: tiles of C, whether C or its transpose is computed, and slices of its sums. A number is
 * summed in the order of its terms whatever the tile, so only the slices affect its bits.
 */
import { cheapest } from "./tile-choice.ts";

/** Spec constants of `tiled-narrow.wgsl`: a tile of GROUPS · ROWS rows and 8 · COLUMNS columns, STEP terms at a time. */
export interface NarrowMatmulTile {
  readonly GROUPS: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly STEP: number;
}

/** A cut as a list of numbers, which is how tunings store it. */
export interface NarrowMatmulCut extends NarrowMatmulTile {
  /** 1: computes Cᵀ = op(B)ᵀ · op(A)ᵀ, for a C with few columns. */
  readonly transposed: 0 | 1;
  /** The most slices of K, each summed separately. */
  readonly slices: number;
}

/**
 * Tiles, the default for large products first. Measured on F1's shapes (LOG.md): an instruction cache of 32 KiB holds 1024 unrolled
 * multiply-adds, and 32 × 64 numbers share their loads best. The other tiles are for a C with few rows or columns, such as that of ten
 * classes.
 */
export const NARROW_MATMUL_TILES: readonly NarrowMatmulTile[] = [
  { GROUPS: 4, ROWS: 8, COLUMNS: 8, STEP: 4 },
  { GROUPS: 2, ROWS: 8, COLUMNS: 8, STEP: 4 },
  { GROUPS: 2, ROWS: 5, COLUMNS: 8, STEP: 4 },
];

const LANES = 8;

/**
 * Nanoseconds on 8 lanes, from samples of the compiled code (lavapipe, Mesa 26.1, one Zen 4 core at 3.6 GHz, November 2026). `carry` is the
 * cost of storing and reloading an accumulator between steps.
 */
const COST = { load: 3.2, multiplyAdd: 0.27, carry: 0.4, store: 7 };

/**
 * The most terms of a sum that is not cut, and of a slice of a longer sum. If both matrices are stored term by term, a term of a tile is 96
 * numbers from places far apart, which the caches have to keep for the next tile. Rows of 512 numbers use a sixteenth of a cache's sets: 4096
 * terms take 1.9 times as long as eight slices of 512, 1024 take 1.0 to 1.15 times as long as two (LOG.md).
 */
const TERMS = { whole: 1024, slice: 512 };
/** Each slice is another C in memory. */
const MOST_SLICES = 8;

/**
 * All cuts that are worth measuring, the default first. Whether to compute C or its transpose is not measured: with a
 * tile that fits both it makes no difference.
 *
 * @param size      M, N, K
 * @param sliceable whether K may be cut: both matrices are stored term by term, and only the sum is wanted
 */
export function narrowMatmulCuts(
  size: readonly [number, number, number],
  { sliceable }: { readonly sliceable: boolean },
): [NarrowMatmulCut, ...NarrowMatmulCut[]] {
  const K = size[2];
  const slices = sliceable && K > TERMS.whole ? Math.min(MOST_SLICES, Math.ceil(K / TERMS.slice)) : 1;
  const cuts = NARROW_MATMUL_TILES.flatMap((tile) =>
    ([0, 1] as const).map((transposed) => ({ ...tile, transposed, slices })),
  );
  const [best, ...near] = cheapest(cuts, (cut) => time(cut, size)) as [NarrowMatmulCut, ...NarrowMatmulCut[]];
  const otherTiles = near.filter(({ transposed }) => transposed === best.transposed);
  const otherSlices = slices > 1 ? [Math.ceil(slices / 2), 2 * slices] : [];
  return [best, ...otherTiles, ...otherSlices.map((count) => ({ ...best, slices: count }))];
}

/** The time of a product, by the costs above. */
function time(
  { GROUPS, ROWS, COLUMNS, STEP, transposed }: NarrowMatmulCut,
  [M, N, K]: readonly [number, number, number],
): number {
  const [rows, columns] = transposed ? [N, M] : [M, N];
  const tiles = Math.ceil(rows / (GROUPS * ROWS)) * Math.ceil(columns / (COLUMNS * LANES));
  const sums = GROUPS * ROWS * COLUMNS;
  const step = STEP * ((GROUPS + COLUMNS) * COST.load + sums * COST.multiplyAdd) + sums * COST.carry;
  return tiles * (Math.ceil(K / STEP) * step + sums * COST.store);
}
