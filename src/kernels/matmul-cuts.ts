/** How a product is cut on a wide GPU: tiles of C, and slices of its sums. */

/** Rows and columns of C that a workgroup and a thread compute, and terms held in workgroup memory at a time. */
export interface MatmulTile {
  readonly TILE_M: number;
  readonly TILE_N: number;
  readonly TILE_K: number;
  readonly MICRO_M: number;
  readonly MICRO_N: number;
  /** Teams of threads that share the terms of a step. */
  readonly TEAMS: number;
}

export interface MatmulCut {
  readonly tile: MatmulTile;
  /** The most slices of K, each summed separately. */
  readonly slices: number;
}

/**
 * Tiles, the largest first. An 8 × 8 micro-tile does the most arithmetic per read of workgroup memory; 4 × 4 is for
 * products that would otherwise leave most of a GPU idle.
 */
const PLAIN_TILES: readonly MatmulTile[] = [
  { TILE_M: 128, TILE_N: 128, TILE_K: 16, MICRO_M: 8, MICRO_N: 8, TEAMS: 1 },
  { TILE_M: 64, TILE_N: 64, TILE_K: 16, MICRO_M: 8, MICRO_N: 8, TEAMS: 1 },
  { TILE_M: 32, TILE_N: 32, TILE_K: 32, MICRO_M: 4, MICRO_N: 4, TEAMS: 1 },
];

/** Four times the threads on the smallest tile: 256 of them, and tiles that fill the 16 KiB of workgroup memory that every adapter has. */
const TEAM_TILE: MatmulTile = { TILE_M: 32, TILE_N: 32, TILE_K: 64, MICRO_M: 4, MICRO_N: 4, TEAMS: 4 };

export const MATMUL_TILES: readonly MatmulTile[] = [...PLAIN_TILES, TEAM_TILE];

// Threads that keep a large GPU busy: two warps of 32 for each of the 4 schedulers of 128 multiprocessors (H100: 132).
const BUSY_THREADS = 32768;

// How much larger than C the tiles may be in total before smaller tiles are better.
const MOST_WASTE = 1.5;

// The fewest terms of a slice. Writing and reading a partial sum moves 8 bytes: at 256 terms that is 64 operations per
// byte, three times what an H100 needs to be bound by arithmetic. Small products wait for memory anyway.
const LEAST_TERMS = 256;
const LEAST_TERMS_OF_SMALL = 128;

// Up to this many terms, teams are the better way to keep a GPU busy: 16 steps of the tile above, each about as long as the latency of
// memory, take no longer than a second dispatch that waits for the first.
const MOST_TERMS_OF_TEAMS = 1024;

/**
 * All cuts that are worth measuring, the default first: each tile, cut into as many slices of K as keep a GPU busy, and half and twice as
 * many.
 *
 * @param summedLater partial sums need no separate dispatch
 */
export function matmulCuts(
  [M, N, K]: readonly [number, number, number],
  { summedLater }: { readonly summedLater: boolean },
): [FlatCut, ...FlatCut[]] {
  const flat = ({ tile, slices }: MatmulCut): FlatCut => ({ ...tile, slices });
  const sliced = chooseCut(M, N, K);
  const inTeams = !summedLater && sliced.slices > 1 && K <= MOST_TERMS_OF_TEAMS;
  const best = inTeams ? { tile: TEAM_TILE, slices: 1 } : sliced;
  const most = Math.max(1, Math.floor(K / LEAST_TERMS_OF_SMALL));
  const others = MATMUL_TILES.flatMap((tile) => {
    const busy = Math.ceil((BUSY_THREADS * tile.MICRO_M * tile.MICRO_N) / (M * N * tile.TEAMS));
    const slices = [busy, Math.ceil(busy / 2), 2 * busy].map((count) => Math.max(1, Math.min(count, most)));
    return [...new Set(slices)].map((count) => flat({ tile, slices: count }));
  });
  const first = JSON.stringify(flat(best));
  return [flat(best), ...others.filter((cut) => JSON.stringify(cut) !== first)];
}

/** A cut as a list of numbers, which is how tunings store it. */
type FlatCut = MatmulTile & { readonly slices: number };

/** The largest tile that keeps a large GPU busy, cut along K if need be; else the smallest, cut as far as is worthwhile. */
function chooseCut(M: number, N: number, K: number): MatmulCut {
  const slicesFor = ({ MICRO_M, MICRO_N }: MatmulTile) =>
    Math.ceil((BUSY_THREADS * MICRO_M * MICRO_N) / (M * N));
  for (const tile of PLAIN_TILES) {
    const { TILE_M, TILE_N } = tile;
    const tiled = Math.ceil(M / TILE_M) * TILE_M * Math.ceil(N / TILE_N) * TILE_N;
    const slices = slicesFor(tile);
    if (tiled <= MOST_WASTE * M * N && slices <= Math.max(1, K / LEAST_TERMS)) return { tile, slices };
  }
  const smallest = PLAIN_TILES.at(-1)!;
  return {
    tile: smallest,
    slices: Math.max(1, Math.min(slicesFor(smallest), Math.floor(K / LEAST_TERMS_OF_SMALL))),
  };
}
