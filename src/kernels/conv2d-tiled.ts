/** Tiles of the convolution kernels for GPUs with wide subgroups. Sums run in the same order whatever the tile. */
import type { Gpu } from "../gpu/gpu.ts";

/** 8 warps for each of the 132 multiprocessors of an H100. */
const MANY_THREADS = 132 * 8 * 32;

/**
 * The tile of forward.wgsl for K channels and `outputs` values of y in all: 128 threads of 8 channels × 8 pixels
 * each, which read workgroup memory least, or × 4 where K is so small that the tile would be all pixels; of 4 × 4 where
 * those would be too few threads for a large GPU.
 */
export function tiledGather({ K, outputs }: { K: number; outputs: number }) {
  const TM = outputs / 32 < MANY_THREADS ? 4 : 8;
  const TN = K > 32 && outputs / 64 >= MANY_THREADS ? 8 : 4;
  const THREADS_M = (K <= 16 ? 16 : K <= 32 ? 32 : 64) / TM;
  return { TM, TN, THREADS_M, THREADS_N: 128 / THREADS_M };
}

/** Columns of a filter that forward.wgsl takes in one step, at most: with more, terms of one channel fill its workgroup memory. */
const MOST_TAPS = 6;

/**
 * The step of forward.wgsl for C to K channels and a filter of S columns: a whole row of the filter, or equal parts of a long one;
 * single taps where every `apart`-th meets an output. Then as many channels, a power of two, as make 24 terms: with
 * their tiles a workgroup needs at most 15 of the 16 KiB that every adapter has. Tiles of up to 32 channels, and those with 8
 * pixels of a thread, are wide in pixels: 12 terms, so that a thread fetches no more than 24 numbers of x.
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

/**
 * The tile of grad-weight.wgsl for K output channels of `weights` weights each: 64 or 128 threads, of 8 channels × 4
 * weights where there are channels enough, else of 4 × 4.
 */
export function tiledGradWeight({ K, weights }: { K: number; weights: number }) {
  const TM = K <= 32 ? 4 : 8;
  const THREADS_M = K <= 16 ? 4 : 8;
  // The number of threads along the weights that leaves the fewest of them idle.
  const idle = (threads: number) => Math.ceil(weights / (4 * threads)) * 4 * threads - weights;
  const THREADS_N = THREADS_M === 4 && idle(32) <= idle(16) ? 32 : 16;
  return { TM, TN: 4, THREADS_M, THREADS_N, DEPTH: 16 };
}

/** Of `terms` products, those written out one after another: software adapters take longer to compile each than they save by it. */
export function unrolled(gpu: Gpu, terms: number): number {
  return gpu.adapter.software ? 1 : ([4, 3, 2].find((few) => terms % few === 0) ?? 1);
}
