/**
 * How a product is cut for 8-lane subgroups: tiles of C, whether C or its transpose is computed, and slices of its sums. A number is
 * summed in the order of its terms whatever the tile; only the slices decide about bits.
 */
import { cheapest } from "./tile-choice.ts";

/** What `tiled-narrow.wgsl` takes as spec constants: a tile of GROUPS · ROWS rows and 8 · COLUMNS columns, STEP terms at a time. */
export interface NarrowMatmulTile {
  readonly GROUPS: number;
  readonly ROWS: number;
  readonly COLUMNS: number;
  readonly STEP: number;
}

/** As a list of numbers, which is what a tuning keeps. */
export interface NarrowMatmulCut extends NarrowMatmulTile {
  /** 1: Cᵀ = op(B)ᵀ · op(A)ᵀ is computed, for a C of few columns. */
  readonly transposed: 0 | 1;
  /** Stretches of K that are summed by themselves, at most. */
  readonly slices: number;
}

/**
 * Tiles, the default for large products first. Measured on F1's shapes (LOG.md): 1024 multiply-adds unrolled are as many as an
 * instruction cache of 32 KiB holds, and 32 × 64 numbers share their loads best. The others are for a C of few rows or columns, such as
 * those of ten classes.
 */
export const NARROW_MATMUL_TILES: readonly NarrowMatmulTile[] = [
  { GROUPS: 4, ROWS: 8, COLUMNS: 8, STEP: 4 },
  { GROUPS: 2, ROWS: 8, COLUMNS: 8, STEP: 4 },
  { GROUPS: 2, ROWS: 5, COLUMNS: 8, STEP: 4 },
];

const LANES = 8;

/**
 * Nanoseconds on 8 lanes, from samples of the compiled code (lavapipe, Mesa 26.1, one Zen 4 core at 3.6 GHz, November 2026). `carry` is an
 * accumulator's way through memory from step to step.
 */
const COST = { load: 3.2, multiplyAdd: 0.27, carry: 0.4, store: 7 };

/**
 * Terms of a slice. Where both matrices are stored term by term, the panels of a tile, 96 numbers a term, have to stay in a cache of 1 MiB.
 * Panels of matrices 512 wide, whose terms are 2 KiB apart, fit only a sixteenth of its sets: 512 terms take twice as long as 256, and
 * half as long as 4096. Below 512, partial sums cost more than that gains.
 */
const SLICE_TERMS = 512;
/** Each slice is another C in memory. */
const MOST_SLICES = 8;

/**
 * All cuts that are worth measuring, the default first.
 *
 * @param size     M, N, K
 * @param sliceable whether K may be cut: both matrices are stored term by term, and nothing but the sum is asked for
 */
export function narrowMatmulCuts(
  [M, N, K]: readonly [number, number, number],
  { sliceable }: { readonly sliceable: boolean },
): [NarrowMatmulCut, ...NarrowMatmulCut[]] {
  const slices = sliceable ? Math.min(MOST_SLICES, Math.ceil(K / SLICE_TERMS)) : 1;
  const cuts = NARROW_MATMUL_TILES.flatMap((tile) =>
    ([0, 1] as const).map((transposed) => ({ ...tile, transposed, slices })),
  );
  const [best, ...others] = cheapest(cuts, (cut) => time(cut, [M, N, K])) as [
    NarrowMatmulCut,
    ...NarrowMatmulCut[],
  ];
  const otherSlices = slices > 1 ? [slices / 2, 2 * slices] : [];
  return [best, ...others, ...otherSlices.map((count) => ({ ...best, slices: Math.ceil(count) }))];
}

/** What a product takes, by the costs above. */
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
