/** Launchers of conv2d: forward and the gradient of its input. The weight's gradient is in conv2d-grad-weight.ts. */
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import {
  type Conv2dGeometry,
  type Conv2dOptions,
  conv2dFlops,
  conv2dGeometry,
  type GatherForm,
  inputGradientSizes,
} from "./conv2d-geometry.ts";
import { gatherMatrixChoice, gatherMatrixTile } from "./conv2d-matrix.ts";
import { gatherChoice, gatherTile } from "./conv2d-narrow-tiles.ts";
import { PATCH_SPEC, type PatchTile, patchChoice, patchGrid, patchTile } from "./conv2d-patch.ts";
import { tiledTile, unrolled } from "./conv2d-tiled.ts";
import { bytesOf, floatType, storedType } from "./element.ts";
import { flatGrid } from "./grid.ts";

const TILED = defineKernel({
  file: "conv2d/forward.wgsl",
  bindings: ["x", "weight", "y", "moments"],
  overrides: ["C", "H", "W", "K", "P", "Q", "R", "S", "STRIDE", "PADDING", "TRANSPOSED", "ACCUMULATE"],
  params: ["images", "filter_rows", "filter_columns", "channels"],
  spec: ["TM", "TN", "THREADS_M", "THREADS_N", "DEPTH", "TAPS", "UNROLL", "MOMENTS", "Stored"],
});

const PATCH = defineKernel({
  file: "conv2d/forward-patch.wgsl",
  bindings: ["x", "weight", "y", "moments"],
  overrides: ["C", "H", "W", "K", "P", "Q", "PADDING", "TRANSPOSED", "ACCUMULATE"],
  params: ["images", "channels"],
  spec: [...PATCH_SPEC, "MOMENTS", "Stored"],
});

const MATRIX = defineKernel({
  file: "conv2d/forward-matrix.wgsl",
  bindings: ["x", "weight", "y", "moments"],
  overrides: ["C", "H", "W", "K", "P", "Q", "ACCUMULATE"],
  params: ["images", "channels", "tiles"],
  spec: [
    ...([
      "Stored",
      "StoredY",
      "WIDTH",
      "Component",
      "M",
      "N",
      "D",
      "LANES",
      "SUBGROUPS_M",
      "SUBGROUPS_N",
    ] as const),
    ...(["BLOCKS_M", "BLOCKS_N", "CHANNELS", "FILTER_ROWS", "ROWS", "COLUMNS", "IMAGES", "GROUPS"] as const),
    ...(["R", "S", "STRIDE", "PADDING", "TRANSPOSED", "MOMENTS"] as const),
  ],
});

const NARROW = defineKernel({
  file: "conv2d/forward-narrow.wgsl",
  bindings: ["x", "weight", "y", "moments"],
  overrides: ["C", "H", "W", "K", "P", "Q", "R", "ACCUMULATE"],
  params: ["images", "filter_rows", "channels"],
  spec: [
    "TRANSPOSED",
    "MOMENTS",
    "S",
    "STRIDE",
    "PADDING",
    "TAP_ROWS",
    "IMAGES",
    "ROWS",
    "COLUMNS",
    "GROUPS",
    "Stored",
  ],
});

/**
 * y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·stride + r − padding, q·stride + s − padding] · weight[k,c,r,s], x outside its border 0.
 *
 * @param x       [N, C, H, W], f32 or f16
 * @param weight  [K, C, R, S] f32
 * @param y       [N, K, P, Q], of x's type, written
 * @param moments [N, tiles, K, 2] f32 of `momentsLayout`: the moments of y's tiles, written if given
 */
export function launchConv2d(
  { moments = null, ...buffers }: { x: Tensor; weight: Tensor; y: Tensor; moments?: Tensor | null },
  options: Conv2dOptions,
): void {
  const geometry = conv2dGeometry(buffers.x.shape, buffers.weight.shape, options);
  launchGather({ buffers, geometry, sizes: geometry, transposed: false, accumulate: false, moments });
}

/**
 * dx[n,c,h,w] = Σ dy[n,k,p,q] · weight[k,c,r,s] over all k and all (p, r), (q, s) with h = p·stride + r − padding and
 * w = q·stride + s − padding.
 *
 * @param dy          [N, K, P, Q], f32 or f16
 * @param weight      [K, C, R, S] f32
 * @param dx          [N, C, H, W], of dy's type, written, or added to
 * @param accumulate  add to dx instead of overwriting it
 */
export function launchConv2dGradInput(
  { dy, weight, dx }: { dy: Tensor; weight: Tensor; dx: Tensor },
  { accumulate = false, ...options }: Conv2dOptions & { accumulate?: boolean },
): void {
  const geometry = conv2dGeometry(dx.shape, weight.shape, options);
  const sizes = inputGradientSizes(geometry);
  launchGather({
    buffers: { x: dy, weight, y: dx },
    geometry,
    sizes,
    transposed: true,
    accumulate,
    moments: null,
  });
}

interface Gather {
  readonly buffers: { readonly x: Tensor; readonly weight: Tensor; readonly y: Tensor };
  readonly geometry: Conv2dGeometry;
  /** As the kernel sees them: what it reads is C × H × W and what it writes K × P × Q, in both directions. */
  readonly sizes: Conv2dGeometry;
  readonly transposed: boolean;
  readonly accumulate: boolean;
  readonly moments: Tensor | null;
}

function launchGather(gather: Gather): void {
  const { gpu } = gather.buffers.y;
  if (gpu.variant === "matrix" && launchMatrix(gather)) return;
  LAUNCHERS[gpu.baseVariant](gather);
}

const LAUNCHERS: ByVariant<(gather: Gather) => void> = {
  narrow: (gather) => launchNarrow(gather) || launchWide(gather),
  wide: launchWide,
};

function launchWide(gather: Gather): void {
  const tile = patchTile(gather.buffers.y.gpu, gather.sizes, formOf(gather));
  if (tile) launchPatch(gather, tile);
  else launchTiled(gather);
}

function formOf({ buffers, transposed }: Gather): GatherForm {
  return { transposed, type: buffers.y.dtype };
}

function cost({ buffers, geometry, accumulate, moments }: Gather) {
  const bytes = bytesOf(buffers) + (accumulate ? buffers.y.byteLength : 0) + (moments?.byteLength ?? 0);
  return { flops: conv2dFlops(geometry), bytes };
}

/** The bindings of every kernel here; if no moments are wanted, a one-number buffer that nothing writes takes their place. */
function bound({ buffers, moments }: Gather) {
  return { ...buffers, moments: moments ?? empty(buffers.y.gpu, [1], "f32", "no moments") };
}

/** `// @spec` values that all these kernels have. */
function common({ buffers: { x, y }, moments }: Gather) {
  return { MOMENTS: `${moments !== null}`, Stored: floatType("conv2d", { x, y }) };
}

function launchPatch(gather: Gather, tile: PatchTile): void {
  const { buffers, sizes, transposed, accumulate } = gather;
  const { N, C, H, W, K, P, Q, R, S, stride, padding } = sizes;
  buffers.y.gpu.run(PATCH, {
    buffers: bound(gather),
    overrides: { C, H, W, K, P, Q, PADDING: padding, TRANSPOSED: transposed, ACCUMULATE: accumulate },
    params: { images: N, channels: C },
    spec: { R, S, STRIDE: stride, ...tile, ...common(gather) },
    workgroups: patchGrid(sizes, tile),
    cost: cost(gather),
    choice: patchChoice(sizes, formOf(gather)),
  });
}

function launchTiled(gather: Gather): void {
  const { buffers, sizes, transposed, accumulate } = gather;
  const { N, C, H, W, K, P, Q, R, S, stride, padding } = sizes;
  const gpu = buffers.y.gpu;
  const step = transposed ? stride : 1;
  const { tile, choice } = tiledTile(gpu, sizes, formOf(gather));
  const terms = tile.DEPTH * tile.TAPS;
  const spec = { ...tile, UNROLL: unrolled(gpu, terms), ...common(gather) };
  const pixels = N * Math.ceil(P / step) * Math.ceil(Q / step);
  const channelTiles = Math.ceil(K / (spec.TM * spec.THREADS_M));
  const pixelTiles = Math.ceil(pixels / (spec.TN * spec.THREADS_N));
  const layer = { C, H, W, K, P, Q, R, S, STRIDE: stride, PADDING: padding };
  gpu.run(TILED, {
    buffers: bound(gather),
    overrides: { ...layer, TRANSPOSED: transposed, ACCUMULATE: accumulate },
    params: { images: N, filter_rows: R, filter_columns: S, channels: C },
    spec,
    workgroups: [channelTiles * step * step, ...flatGrid(pixelTiles, 1)],
    cost: cost(gather),
    choice,
  });
}

/** @returns false if the wide kernels are better, or the only ones: f32 activations stay f32 */
function launchMatrix(gather: Gather): boolean {
  const { buffers, sizes, transposed, accumulate, moments } = gather;
  const { N, C, H, W, K, P, Q, R, S, stride, padding } = sizes;
  const { gpu } = buffers.y;
  const type = floatType("conv2d", { x: buffers.x, y: buffers.y });
  const tile = gatherMatrixTile(gpu, sizes, formOf(gather));
  if (tile === null) return false;
  const step = transposed ? stride : 1;
  const WIDTH = W % 4 === 0 ? 4 : 1;
  const tiles = Math.ceil(Math.ceil(P / step) / tile.ROWS);
  gpu.run(MATRIX, {
    buffers: bound(gather),
    overrides: { C, H, W, K, P, Q, ACCUMULATE: accumulate },
    params: { images: N, channels: C, tiles },
    spec: {
      ...tile,
      ...{ Stored: storedType(type, WIDTH), StoredY: type, WIDTH, GROUPS: W / WIDTH },
      ...{ R, S, STRIDE: stride, PADDING: padding },
      ...{ TRANSPOSED: `${transposed}`, MOMENTS: `${moments !== null}` },
    },
    workgroups: [
      Math.ceil(K / (tile.SUBGROUPS_M * tile.BLOCKS_M * tile.M)) * step * step,
      ...flatGrid(tiles * Math.ceil(N / tile.IMAGES), 1),
    ],
    cost: cost(gather),
    choice: gatherMatrixChoice(sizes, formOf(gather)),
  });
  return true;
}

/** @returns false if no tile can be unrolled */
function launchNarrow(gather: Gather): boolean {
  const { buffers, sizes, transposed, accumulate } = gather;
  const { N, C, H, W, K, P, Q, R, S, stride, padding } = sizes;
  const tile = gatherTile(sizes, formOf(gather), buffers.y.gpu.tuning);
  if (tile === null) return false;
  buffers.y.gpu.run(NARROW, {
    buffers: bound(gather),
    overrides: { C, H, W, K, P, Q, R, ACCUMULATE: accumulate },
    params: { images: N, filter_rows: R, channels: C },
    spec: {
      TRANSPOSED: `${transposed}`,
      ...common(gather),
      S,
      STRIDE: stride,
      PADDING: padding,
      ...tile,
    },
    workgroups: [
      Math.ceil(P / tile.ROWS) * Math.ceil(Q / tile.COLUMNS),
      Math.ceil(K / (8 * tile.GROUPS)),
      Math.ceil(N / tile.IMAGES),
    ],
    cost: cost(gather),
    choice: gatherChoice(sizes, formOf(gather)),
  });
  return true;
}
