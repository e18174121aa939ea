/**
 * What a convolution can compute beside its output for the batch norm that follows: mean and sum of squares of each channel
 * over each tile, while the values are in registers. The norm then gets its statistics without reading the output.
 */
import type { Gpu } from "../gpu/gpu.ts";
import type { ByVariant } from "../gpu/variant.ts";
import type { DataType } from "../tensor/tensor.ts";
import type { Conv2dGeometry } from "./conv2d-geometry.ts";
import { gatherMatrixTile } from "./conv2d-matrix.ts";
import { gatherTile } from "./conv2d-narrow-tiles.ts";
import { patchTile } from "./conv2d-patch.ts";
import { tiledTile } from "./conv2d-tiled.ts";

/** Moments [N, tiles, K, 2] of (mean, Σ (y − mean)²). */
export interface MomentsLayout {
  /** Tiles of one image. */
  readonly tiles: number;
  /** Output pixels of a tile. */
  readonly pixels: number;
}

/** The fewest pixels of a tile, so that moments are at most an eighth of the output. */
const LEAST_PIXELS = 16;

/**
 * Null if a tile would reach over the edge of an image or into the next one.
 *
 * @param type of the activations
 */
export function momentsLayout(gpu: Gpu, geometry: Conv2dGeometry, type: DataType): MomentsLayout | null {
  const { P, Q } = geometry;
  const matrix =
    gpu.variant === "matrix" ? gatherMatrixTile(gpu, geometry, { type, transposed: false }) : null;
  const { pixels, fits } = matrix
    ? block(geometry, matrix.ROWS, Q)
    : TILES[gpu.baseVariant](gpu, geometry, type);
  if (!fits || pixels < LEAST_PIXELS) return null;
  return { tiles: (P * Q) / pixels, pixels };
}

interface Tile {
  readonly pixels: number;
  /** Whether such tiles divide an image evenly. */
  readonly fits: boolean;
}

/** Pixels of one image that a workgroup computes. */
const TILES: ByVariant<(gpu: Gpu, geometry: Conv2dGeometry, type: DataType) => Tile> = {
  narrow: (gpu, geometry, type) => {
    const tile = gatherTile(geometry, { transposed: false, type }, gpu.tuning);
    return tile ? block(geometry, tile.ROWS, tile.COLUMNS) : wideTile(gpu, geometry, type);
  },
  wide: wideTile,
};

function wideTile(gpu: Gpu, geometry: Conv2dGeometry, type: DataType): Tile {
  const form = { transposed: false, type };
  const patch = patchTile(gpu, geometry, form);
  if (patch) return block(geometry, patch.ROWS * patch.DOWN, 4 * patch.ACROSS);
  const { P, Q } = geometry;
  const { TN, THREADS_N } = tiledTile(gpu, geometry, form).tile;
  return { pixels: TN * THREADS_N, fits: (P * Q) % (TN * THREADS_N) === 0 };
}

function block({ P, Q }: Conv2dGeometry, rows: number, columns: number): Tile {
  return { pixels: rows * columns, fits: P % rows === 0 && Q % columns === 0 };
}
