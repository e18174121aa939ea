/** How a launcher chooses among tiles: those with the lowest estimates, of which `gpu.tuning` may know the fastest. */
import type { Tuning, Way } from "../gpu/tuning.ts";
import type { DataType } from "../tensor/tensor.ts";
import type { Conv2dGeometry } from "./conv2d-geometry.ts";

/** Tiles worth measuring: estimates are accurate to about this factor, and more tiles would take long to compile. */
const WORTH = 1.5;
const MOST_WAYS = 6;

/** The tiles with the lowest estimates, lowest first; none if all are infinite. */
export function cheapest<T>(tiles: Iterable<T>, estimate: (tile: T) => number): T[] {
  const all = [...tiles].map((tile) => ({ tile, estimate: estimate(tile) }));
  all.sort((a, b) => a.estimate - b.estimate);
  const [best] = all;
  if (!best || best.estimate === Number.POSITIVE_INFINITY) return [];
  const near = all.filter((one) => one.estimate <= WORTH * best.estimate);
  return near.slice(0, MOST_WAYS).map(({ tile }) => tile);
}

/** The chosen tile, by default the first; null if there are none. */
export function chooseTile<T extends object>(
  tuning: Tuning | undefined,
  key: string,
  tiles: readonly T[],
  results: number,
): T | null {
  const [first, ...others] = tiles;
  if (first === undefined) return null;
  return tuning ? tuning.choose(key, [first, ...others], results) : first;
}

/** Likewise for a kernel on subgroup matrices; null also where the wide kernels were chosen. */
export function chooseMatrixTile<T extends object>(
  tuning: Tuning,
  key: string,
  tiles: readonly T[],
  results: number,
): T | null {
  const way = chooseTile(tuning, key, tiles.length > 0 ? [...tiles, WIDE] : [], results);
  return way === null || way === WIDE ? null : (way as T);
}

const ranked = new Map<string, readonly unknown[]>();

/** The result of `rank`, computed once per key. */
export function remembered<T>(key: string, rank: () => readonly T[]): readonly T[] {
  let tiles = ranked.get(key);
  if (!tiles) {
    tiles = rank();
    ranked.set(key, tiles);
  }
  return tiles as readonly T[];
}

/** The way of a matrix kernel's question that is none of its tiles: the wide kernels run. */
export const WIDE = { variant: "wide" } as const;

/** Whether a way is a tile of a matrix kernel. */
export function isMatrixTile(way: Way): boolean {
  return "Component" in way;
}

/** The end of a key: the type of the activations in memory, since tiles are measured for each. f32 is not written. */
export function typeText(type: DataType): string {
  return type === "f32" ? "" : ` ${type}`;
}

/** Describes a layer independently of the batch. */
export function layerText({ C, H, W, K, R, S, stride, padding }: Conv2dGeometry): string {
  return `C=${C} H=${H} W=${W} K=${K} R=${R} S=${S} stride=${stride} padding=${padding}`;
}
