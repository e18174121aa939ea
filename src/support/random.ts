// Counter-based random numbers: a number is a pure function of (seed, stream, a, b), so nothing has to be
// stored to repeat it, and the GPU (shaders/lib/random.wgsl) computes the same integers.

/**
 * What a number is drawn for. Two uses never share a stream, so adding a draw to one leaves the others as
 * they were. The values are part of the meaning of a seed: append, never renumber. All are below 256: dropout packs its own
 * with a layer's number.
 */
export const STREAMS = {
  init: 1,
  shuffle: 2,
  augmentation: 3,
  dropout: 4,
  noise: 5,
  subset: 6,
  synthetic: 7,
  /** For statistics and measurements, which draw only on the CPU. */
  bootstrap: 100,
  bootstrapRuns: 101,
  directions: 102,
  directionLengths: 103,
  measuredBatches: 104,
  sharpnessSubspace: 105,
} as const;

export type Stream = (typeof STREAMS)[keyof typeof STREAMS];

/** Four 32-bit words, each 0 … 2³²−1. */
export type Words = readonly [number, number, number, number];

/**
 * The pcg4d hash: four 32-bit words to four 32-bit words.
 * Source: Jarzynski and Olano 2020, "Hash Functions for GPU Rendering", JCGT 9(3), listing for pcg4d.
 */
export function pcg4d(x: number, y: number, z: number, w: number): Words {
  // The constants of the linear step are those of "Numerical Recipes", as in the paper's listing.
  let vx = (Math.imul(x, 1664525) + 1013904223) | 0;
  let vy = (Math.imul(y, 1664525) + 1013904223) | 0;
  let vz = (Math.imul(z, 1664525) + 1013904223) | 0;
  let vw = (Math.imul(w, 1664525) + 1013904223) | 0;

  vx = (vx + Math.imul(vy, vw)) | 0;
  vy = (vy + Math.imul(vz, vx)) | 0;
  vz = (vz + Math.imul(vx, vy)) | 0;
  vw = (vw + Math.imul(vy, vz)) | 0;

  vx ^= vx >>> 16;
  vy ^= vy >>> 16;
  vz ^= vz >>> 16;
  vw ^= vw >>> 16;

  vx = (vx + Math.imul(vy, vw)) | 0;
  vy = (vy + Math.imul(vz, vx)) | 0;
  vz = (vz + Math.imul(vx, vy)) | 0;
  vw = (vw + Math.imul(vy, vz)) | 0;

  return [vx >>> 0, vy >>> 0, vz >>> 0, vw >>> 0];
}

/** A uniform number in [0, 1): the top 24 bits of a word over 2²⁴, so that it is exact in f32 too. */
export function uniform01(word: number): number {
  return (word >>> 8) / 0x1000000;
}

/**
 * A uniform integer in [0, bound) from one word: floor(word · bound / 2³²). Some values are drawn more
 * often than others by at most bound / 2³² of their share (1e-5 for 60,000 samples).
 *
 * @param bound 1 … 2²¹, so that the product is exact in a double
 */
export function boundedInteger(word: number, bound: number): number {
  return Math.floor(((word >>> 0) * bound) / 0x100000000);
}

/** What a permutation depends on; `epoch` (default 0) distinguishes those of one seed and stream. */
export interface PermutationKey {
  readonly seed: number;
  readonly stream: Stream;
  readonly epoch?: number;
}

/**
 * A uniform permutation of 0 … n−1 (Fisher and Yates), e.g. the order of the samples in an epoch.
 *
 * @param n at most 2²¹ (ImageNet has 1.28 million samples)
 */
export function permutation(n: number, { seed, stream, epoch = 0 }: PermutationKey): Uint32Array {
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[i] = i;
  for (let i = n - 1; i > 0; i--) {
    const j = boundedInteger(pcg4d(seed, stream, epoch, i)[0], i + 1);
    const swapped = order[i];
    order[i] = order[j];
    order[j] = swapped;
  }
  return order;
}
