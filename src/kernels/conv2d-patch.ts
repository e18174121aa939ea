/** Tiles of the patch kernels, lib/conv2d-patch.wgsl. The order of summation does not depend on the tile. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Conv2dGeometry, GatherForm } from "./conv2d-geometry.ts";
import { flatGrid } from "./grid.ts";
import { chooseTile, layerText, remembered, typeText } from "./tile-choice.ts";

/** Their spec constants, except those of the filter. */
export interface PatchTile {
  readonly TM: number;
  readonly ROWS: number;
  readonly THREADS_M: number;
  readonly ACROSS: number;
  readonly DOWN: number;
  readonly IMAGES: number;
  readonly DEPTH: number;
  readonly ROW_QUADS: number;
  readonly IMAGE_QUADS: number;
}

/** Threads per workgroup: two waves of an AMD GPU, four warps of an NVIDIA one. */
const THREADS = 128;

/** A warp for each of the 4 schedulers of an H100's multiprocessors (132, of which 128 are counted). */
const LEAST_THREADS = 128 * 4 * 32;

/** Bytes of workgroup memory that every WebGPU adapter has. */
const WORKGROUP_BYTES = 16384;

/** The most numbers that a thread may hold while it fetches: besides 64 sums, they let a GPU with 64 Ki registers hold three workgroups. */
const MOST_ON_THE_WAY = 40;

/** The most pixels computed per pixel of the output: above this, conv2d/forward.wgsl wastes less. */
const MOST_WASTE = 1.3;

/**
 * The tile for a convolution of these sizes, as the kernel sees them; null if conv2d/forward.wgsl is better: for filters
 * that skip pixels or do not fit, input gradients with a stride, and outputs narrower than a thread's 4 columns.
 */
export function patchTile(gpu: Gpu, sizes: Conv2dGeometry, form: GatherForm): PatchTile | null {
  const tiles = patchTiles(gpu, sizes, form);
  const ways = tiles.length > 0 ? [...tiles, GENERAL] : [];
  const way = chooseTile(gpu.tuning, patchChoice(sizes, form), ways, outputs(sizes));
  return way === null || "general" in way ? null : way;
}

/** The tiles for such a convolution, the default first; none if the patch kernels cannot be used. */
export function patchTiles(gpu: Gpu, sizes: Conv2dGeometry, form: GatherForm): readonly PatchTile[] {
  if (!gpu.specialized) return [];
  const { R, S, stride, padding } = sizes;
  const { transposed } = form;
  if (transposed && (stride > 1 || padding >= Math.min(R, S))) return [];
  if (stride > Math.min(R, S) || R > 7 || S > 7) return [];
  return remembered(patchChoice(sizes, form), (): PatchTile[] => {
    const standard = microTile(outputs(sizes));
    const first = placed(sizes, standard);
    if (first === null) return [];
    // Other outputs per thread; and half the channels per step.
    const others = MICRO_TILES.filter((micro) => micro.TM !== standard.TM || micro.ROWS !== standard.ROWS);
    const tiles = others.map((micro) => placed(sizes, micro)).filter((tile) => tile !== null);
    const half = first.DEPTH % 2 === 0 ? [{ ...first, DEPTH: first.DEPTH / 2 }] : [];
    return [first, ...tiles, ...half];
  });
}

/** conv2d/forward.wgsl instead. */
const GENERAL = { general: 1 };

/** The key of the choice of a `patchTile`. */
export function patchChoice(sizes: Conv2dGeometry, { transposed, type }: GatherForm): string {
  return `conv2d/forward-patch N=${sizes.N} ${layerText(sizes)}${transposed ? " transposed" : ""}${typeText(type)}`;
}

function outputs({ N, K, P, Q }: Conv2dGeometry): number {
  return N * K * P * Q;
}

/** Tiles of one image. */
export function patchTilesOfImage({ P, Q }: Conv2dGeometry, { ROWS, DOWN, ACROSS }: PatchTile): number {
  return Math.ceil(P / (ROWS * DOWN)) * Math.ceil(Q / (4 * ACROSS));
}

/** The grid of a patch kernel. */
export function patchGrid(sizes: Conv2dGeometry, tile: PatchTile): [number, number, number] {
  const tiles = Math.ceil(sizes.N / tile.IMAGES) * patchTilesOfImage(sizes, tile);
  return [Math.ceil(sizes.K / (tile.TM * tile.THREADS_M)), ...flatGrid(tiles, 1)];
}

/** Spec constants of lib/conv2d-patch.wgsl. */
export const PATCH_SPEC = [
  ...(["R", "S", "STRIDE", "TM", "ROWS", "THREADS_M", "ACROSS", "DOWN", "IMAGES", "DEPTH"] as const),
  ...(["ROW_QUADS", "IMAGE_QUADS"] as const),
] as const;

/** The best placement of the threads of such a tile; null if none fits. */
function placed(sizes: Conv2dGeometry, micro: Micro): PatchTile | null {
  const { K, R, S } = sizes;
  const TILE_M = K <= 16 ? 16 : K <= 32 ? 32 : 64;
  const THREADS_M = TILE_M / micro.TM;
  let best: PatchTile | null = null;
  let least = Number.POSITIVE_INFINITY;
  for (const place of placements(THREADS / THREADS_M)) {
    const { waste, fetched } = share(sizes, { ...micro, ...place });
    // Fetching a number costs about 5 instructions; the products of a pixel take TILE_M·R·S / TM·4·ROWS of a thread's.
    const cost = waste * (R * S * TILE_M + 5 * fetched);
    if (waste > MOST_WASTE || cost >= least) continue;
    const tile = withDepth(sizes, { ...micro, THREADS_M, ...place });
    if (tile) [best, least] = [tile, cost];
  }
  return best;
}

/**
 * Channels and rows per thread. 8 × 8 outputs read workgroup memory least; smaller ones are for layers whose outputs would
 * leave most of a large GPU without a thread.
 */
function microTile(outputs: number): Micro {
  const [large, middle, small] = MICRO_TILES;
  if (outputs / 64 >= 2 * LEAST_THREADS) return large;
  return outputs / 32 >= LEAST_THREADS ? middle : small;
}

type Micro = Pick<PatchTile, "TM" | "ROWS">;

/** The largest first. */
const MICRO_TILES = [
  { TM: 8, ROWS: 2 },
  { TM: 4, ROWS: 2 },
  { TM: 4, ROWS: 1 },
] as const;

type Placement = Pick<PatchTile, "ACROSS" | "DOWN" | "IMAGES">;

/** The ways to lay `threads` threads over images, rows and columns, starting with those whose lanes read the longest stretches of memory. */
function* placements(threads: number): Generator<Placement> {
  for (let ACROSS = threads; ACROSS >= 1; ACROSS /= 2)
    for (let DOWN = 1; ACROSS * DOWN <= threads; DOWN *= 2)
      yield { ACROSS, DOWN, IMAGES: threads / (ACROSS * DOWN) };
}

/** For a placement: pixels computed per pixel of the output, and numbers of one channel of x fetched per computed pixel. */
function share({ N, P, Q, R, S, stride }: Conv2dGeometry, tile: Placement & Micro) {
  const [rows, columns] = [tile.ROWS * tile.DOWN, 4 * tile.ACROSS];
  const covered = roundUp(N, tile.IMAGES) * roundUp(P, rows) * roundUp(Q, columns);
  const patch = ((rows - 1) * stride + R) * ((columns - 1) * stride + S);
  return { waste: covered / (N * P * Q), fetched: patch / (rows * columns) };
}

/** The most input channels per step that fit into workgroup memory and a thread's registers; a divisor of C if possible. */
function withDepth(
  { C, R, S, stride }: Conv2dGeometry,
  tile: Omit<PatchTile, "DEPTH" | "ROW_QUADS" | "IMAGE_QUADS">,
) {
  const { TM, ROWS, THREADS_M, ACROSS, DOWN, IMAGES } = tile;
  const [rows, columns] = [(ROWS * DOWN - 1) * stride + R, (4 * ACROSS - 1) * stride + S];
  const strides = patchStrides(tile, stride, rows, Math.ceil(columns / 4));
  const quads = (TM * THREADS_M) / 4;
  for (const DEPTH of [8, 4, 3, 2, 1].filter((depth) => C % depth === 0 || depth === 1)) {
    const bytes = 16 * DEPTH * (IMAGES * strides.IMAGE_QUADS + R * S * (quads + 1));
    const onTheWay =
      DEPTH * Math.ceil((IMAGES * rows * columns) / THREADS) +
      4 * Math.ceil((DEPTH * R * S * quads) / THREADS);
    // The means of a tile need this as well.
    if (bytes + 4 * TM * THREADS_M * IMAGES <= WORKGROUP_BYTES && onTheWay <= MOST_ON_THE_WAY) {
      return { ...tile, DEPTH, ...strides };
    }
  }
  return null;
}

/** The lengths of a row and of an image of the patch, in vec4, with which eight neighbouring threads use different banks. */
function patchStrides(
  { ROWS, ACROSS, DOWN, IMAGES }: Placement & Pick<Micro, "ROWS">,
  stride: number,
  rows: number,
  least: number,
) {
  let best = { ROW_QUADS: least, IMAGE_QUADS: rows * least };
  let fewest = Number.POSITIVE_INFINITY;
  for (let ROW_QUADS = least; ROW_QUADS <= least + 1; ROW_QUADS++) {
    for (
      let IMAGE_QUADS = rows * ROW_QUADS;
      IMAGE_QUADS <= rows * ROW_QUADS + (IMAGES > 1 ? 1 : 0);
      IMAGE_QUADS++
    ) {
      const banks = new Array<number>(8).fill(0);
      for (let n = 0; n < Math.min(8, ACROSS * DOWN * IMAGES); n++) {
        const image = Math.floor(n / (ACROSS * DOWN));
        const row = (Math.floor(n / ACROSS) % DOWN) * ROWS * stride;
        banks[(image * IMAGE_QUADS + row * ROW_QUADS + (n % ACROSS) * stride) % 8]!++;
      }
      const passes = Math.max(...banks);
      if (passes < fewest) [best, fewest] = [{ ROW_QUADS, IMAGE_QUADS }, passes];
    }
  }
  return best;
}

function roundUp(count: number, step: number): number {
  return Math.ceil(count / step) * step;
}
