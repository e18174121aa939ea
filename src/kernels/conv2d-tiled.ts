/** Tiles of the convolution kernels for GPUs with wide subgroups. The order of summation does not depend on the tile. */
import type { Gpu } from "../gpu/gpu.ts";
import type { Conv2dGeometry, GatherForm } from "./conv2d-geometry.ts";
import { patchChoice, patchTiles } from "./conv2d-patch.ts";
import { chooseTile, layerText, typeText } from "./tile-choice.ts";

/** 8 warps for each of the 132 multiprocessors of an H100. */
const MANY_THREADS = 132 * 8 * 32;

/**
 * The tile of forward.wgsl for K channels and `outputs` values of y in all: 128 threads of 8 channels × 8 pixels
 * each, which read workgroup memory least; × 4 pixels if K is so small that the tile would be all pixels; 4 × 4 if
 * there would otherwise be too few threads for a large GPU.
 */
export function tiledGather({ K, outputs }: { K: number; outputs: number }) {
  const TM = outputs / 32 < MANY_THREADS ? 4 : 8;
  const TN = K > 32 && outputs / 64 >= MANY_THREADS ? 8 : 4;
  return { TM, TN, ...threadsOf(K, TM) };
}

/** The most columns of a filter that forward.wgsl takes per step: with more, the terms of one channel fill its workgroup memory. */
const MOST_TAPS = 6;

/**
 * The step of forward.wgsl for C to K channels and a filter of S columns: a whole row of the filter, or equal parts of a long one;
 * single taps if only every `apart`-th contributes to an output. The channels are the power of two that makes 24 terms: with
 * their tiles a workgroup needs at most 15 of the 16 KiB that every adapter has. Tiles of up to 32 channels, and those with 8
 * pixels per thread, are wide in pixels: 12 terms, so that a thread fetches no more than 24 numbers of x.
 */
export function tiledStep({
  C,
  K,
  S,
  apart,
  TN,
}: {
  C: number;
  K: number;
  S: number;
  apart: number;
  TN: number;
}) {
  const TAPS = apart > 1 ? 1 : Math.ceil(S / Math.ceil(S / MOST_TAPS));
  const terms = K <= 32 || TN > 4 ? 12 : 24;
  const DEPTH = Math.min(C, 2 ** Math.floor(Math.log2(terms / TAPS)));
  return { TAPS, DEPTH };
}

/** Spec constants of forward.wgsl, except how far loops are unrolled. */
export interface TiledTile {
  readonly TM: number;
  readonly TN: number;
  readonly THREADS_M: number;
  readonly THREADS_N: number;
  readonly DEPTH: number;
  readonly TAPS: number;
}

/**
 * The tile of forward.wgsl for a convolution of these sizes, as the kernel sees them, and the key of its choice: that of the patch
 * kernel's tile if this one is a way of it, else its own.
 */
export function tiledTile(
  gpu: Gpu,
  sizes: Conv2dGeometry,
  form: GatherForm,
): { tile: TiledTile; choice: string } {
  const { transposed, type } = form;
  const [first, ...others] = tiledTiles(sizes, transposed);
  if (patchTiles(gpu, sizes, form).length > 0) {
    return { tile: first, choice: patchChoice(sizes, form) };
  }
  const choice = `conv2d/forward N=${sizes.N} ${layerText(sizes)}${transposed ? " transposed" : ""}${typeText(type)}`;
  const { N, K, P, Q } = sizes;
  return { tile: chooseTile(gpu.tuning, choice, [first, ...others], N * K * P * Q)!, choice };
}

/** The default; other outputs per thread; and half the channels per step. */
function tiledTiles(sizes: Conv2dGeometry, transposed: boolean): readonly [TiledTile, ...TiledTile[]] {
  const { N, C, K, P, Q, S, stride } = sizes;
  const apart = transposed ? stride : 1;
  const withStep = (tile: ReturnType<typeof tiledGather>): TiledTile => ({
    ...tile,
    ...tiledStep({ C, K, S, apart, TN: tile.TN }),
  });
  const standard = tiledGather({ K, outputs: N * K * P * Q });
  const first = withStep(standard);
  const others = MICRO_TILES.filter(({ TM, TN }) => TM !== standard.TM || TN !== standard.TN).map(
    ({ TM, TN }) => withStep({ ...threadsOf(K, TM), TM, TN }),
  );
  const half = first.DEPTH > 1 ? [{ ...first, DEPTH: Math.floor(first.DEPTH / 2) }] : [];
  return [first, ...[...others, ...half].filter((tile) => workgroupBytes(tile) <= WORKGROUP_BYTES)];
}

const MICRO_TILES = [
  { TM: 8, TN: 8 },
  { TM: 8, TN: 4 },
  { TM: 4, TN: 4 },
] as const;

/** Threads of a workgroup, in all and along channels and pixels. */
const THREADS = 128;

function threadsOf(K: number, TM: number) {
  const THREADS_M = (K <= 16 ? 16 : K <= 32 ? 32 : 64) / TM;
  return { THREADS_M, THREADS_N: THREADS / THREADS_M };
}

/** Bytes of workgroup memory that every WebGPU adapter has. */
const WORKGROUP_BYTES = 16384;

/** The size of both tiles of forward.wgsl: the larger of the weights' terms and the threads' shares of their channels, plus means. */
function workgroupBytes({ TM, TN, THREADS_M, THREADS_N, DEPTH, TAPS }: TiledTile): number {
  const [quadsM, terms] = [(TM * THREADS_M) / 4, DEPTH * TAPS];
  const weights = Math.max(terms * (quadsM + 2 * Math.floor(TAPS / 2) + 1), quadsM * THREADS_N);
  return 16 * (weights + (terms * TN * THREADS_N) / 4) + 4 * TM * THREADS_M;
}

/**
 * The tile of grad-weight.wgsl for K output channels of `weights` weights each: 64 or 128 threads, of 8 channels × 4
 * weights if there are enough channels, else of 4 × 4.
 */
export function tiledGradWeight({ K, weights }: { K: number; weights: number }) {
  const TM = K <= 32 ? 4 : 8;
  const THREADS_M = K <= 16 ? 4 : 8;
  // The number of threads along the weights that leaves the fewest of them idle.
  const idle = (threads: number) => Math.ceil(weights / (4 * threads)) * 4 * threads - weights;
  const THREADS_N = THREADS_M === 4 && idle(32) <= idle(16) ? 32 : 16;
  return { TM, TN: 4, THREADS_M, THREADS_N, DEPTH: 16 };
}

/** The default; the other tile if K allows both; and half and twice as many runs of pixels. */
export function tiledGradWeights(size: { K: number; weights: number }) {
  const first = tiledGradWeight(size);
  const other = { ...first, TM: 12 - first.TM };
  const fits = size.K > 16 ? [other] : [];
  return [first, ...fits, { ...first, RUNS: 0.5 }, { ...first, RUNS: 2 }] as const;
}

/** How many of `terms` products are written out one after another: on software adapters each takes longer to compile than it saves. */
export function unrolled(gpu: Gpu, terms: number): number {
  return gpu.adapter.software ? 1 : ([4, 3, 2].find((few) => terms % few === 0) ?? 1);
}
