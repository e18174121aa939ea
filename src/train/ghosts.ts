// How a batch is cut into ghost batches, and ghost batches into slabs. Pure arithmetic.

import { requireWhole } from "../support/check.ts";
import { UsageError } from "../support/errors.ts";
import { formatCount } from "../support/format.ts";

/**
 * What to do if samples do not divide evenly, with batch size B and ghost size S:
 * - `authors`: as in the released code. With K = ⌊B/S⌋, a batch of b samples becomes pieces of ⌈b/K⌉, the last one shorter,
 *   and the gradient is the mean of the pieces' means, so a sample of a shorter piece weighs more.
 * - `exact`: ghosts of S; a remainder is a separate ghost if it is large enough, else part of the ghost before
 *   it. Every sample weighs 1/b.
 * - `drop`: a partial last batch is discarded; full batches as `exact`.
 * - `wrap`: a partial last batch is filled with the first samples of the next epoch; all batches as `exact`.
 */

export const PARTIAL_POLICIES = ["authors", "exact", "drop", "wrap"] as const;
export type PartialPolicy = (typeof PARTIAL_POLICIES)[number];

/** Consecutive ghosts of the same size, except that the last may be smaller or larger. */
export interface GhostLayout {
  /** Samples in every ghost but the last; if there is only one ghost, all samples. */
  readonly ghostSize: number;
  /** Number of ghosts, including the last. */
  readonly ghosts: number;
  /** Samples in the last ghost. */
  readonly last: number;
  /** Samples in all of them: (ghosts − 1) · ghostSize + last. */
  readonly total: number;
  /** Weight of a sample's loss in every ghost but the last. */
  readonly weightPerSample: number;
  /** Weight of a sample's loss in the last ghost. The weights of a batch add up to 1. */
  readonly weightPerSampleLast: number;
}

/** The layout of a batch, with a warning for each departure from what was asked. */
export interface PlannedLayout extends GhostLayout {
  readonly warnings: readonly string[];
}

export interface PartitionOptions {
  /** b: samples in this batch, at most the batch size. */
  readonly samples: number;
  /** B: samples in a full batch. */
  readonly batchSize: number;
  /** S: samples in a ghost. */
  readonly ghostSize: number;
  readonly policy: PartialPolicy;
  /** The fewest pixels per sample at any normalized layer: 1 if a linear layer is normalized. */
  readonly pixels?: number;
  /** Under `exact`, the fewest values per channel that make a ghost. Default 8 for 1 pixel, else 2. */
  readonly minimumValues?: number;
}

/**
 * The ghosts of one batch. A single value has no variance, so a ghost of one value per channel becomes
 * part of the one before it, with a warning.
 * @throws UsageError for invalid sizes, or if only ghosts of one value are possible
 */
export function partitionBatch(options: PartitionOptions): PlannedLayout {
  const { batchSize, policy, pixels = 1, minimumValues = pixels === 1 ? 8 : 2 } = options;
  requireWhole("batch size", batchSize);
  requireWhole("ghost size", options.ghostSize);
  requireWhole("samples of a batch", options.samples);
  requireWhole("pixels", pixels);
  if (options.samples > batchSize) {
    throw new UsageError(
      `ghosts: a batch of ${options.samples} samples is larger than the batch size of ${batchSize}`,
    );
  }
  if (policy === "drop" && options.samples < batchSize) {
    throw new UsageError(
      `ghosts: partial batches are discarded under drop, so a batch of ${options.samples} of ${batchSize} samples cannot occur`,
    );
  }
  const samples = policy === "wrap" ? batchSize : options.samples;
  const warnings: string[] = [];
  let { ghostSize } = options;
  if (ghostSize > batchSize) {
    warnings.push(
      `the ghost size of ${ghostSize} is larger than the batch size: using ${batchSize}, plain batch norm`,
    );
    ghostSize = batchSize;
  }
  // At 1 pixel per sample a statistic needs two samples.
  const fewest = pixels === 1 ? 2 : 1;
  if (samples < fewest || ghostSize < fewest) {
    const what = ghostSize < fewest ? `a ghost size of ${ghostSize}` : `a batch of ${samples}`;
    throw new UsageError(
      `ghosts: ${what} leaves batch norm only one value per channel, which has no variance; ` +
        `use a larger ghost size, another batch size, or the policy drop or wrap`,
    );
  }

  const asked = policy === "authors" ? Math.ceil(samples / Math.floor(batchSize / ghostSize)) : ghostSize;
  const size = Math.min(Math.max(asked, fewest), samples);
  if (asked < fewest) {
    warnings.push(
      `splitting ${samples} samples into pieces of ${asked} leaves one value per channel: using pieces of ${size}`,
    );
  }
  const remainder = samples % size;
  const standsAlone =
    policy === "authors" ? remainder >= fewest : remainder * pixels >= Math.max(minimumValues, 2);
  const whole = Math.floor(samples / size);
  const merged = remainder > 0 && !standsAlone;
  if (merged) {
    warnings.push(
      `a last ghost of ${remainder} of ${formatCount(samples)} samples is too small for batch norm: ` +
        `it is merged with the ghost before it, which then has ${size + remainder}`,
    );
  }
  const ghosts = whole + (remainder > 0 && standsAlone ? 1 : 0);
  const last = samples - (ghosts - 1) * size;
  if (samples === batchSize && batchSize % ghostSize !== 0 && !merged)
    warnings.push(unevenGhosts(batchSize, ghostSize, { ghosts, size, last }));
  const first = ghosts === 1 ? last : size;
  const meanOfMeans = policy === "authors";
  return {
    ghostSize: first,
    ghosts,
    last,
    total: samples,
    weightPerSample: meanOfMeans ? 1 / (ghosts * first) : 1 / samples,
    weightPerSampleLast: meanOfMeans ? 1 / (ghosts * last) : 1 / samples,
    warnings,
  };
}

/** Describes the layout of a batch that is not a multiple of the ghost size, and suggests a size that divides it. */
function unevenGhosts(
  batchSize: number,
  ghostSize: number,
  { ghosts, size, last }: { ghosts: number; size: number; last: number },
): string {
  const layout =
    ghosts === 1
      ? `all ${size} images are normalized together`
      : last === size
        ? `it is cut into ${ghosts} ghosts of ${size}`
        : `${ghosts === 2 ? `${size} images are` : `${ghosts - 1} ghosts of ${size} images are each`} normalized together, and the last ${last} by themselves, with noisier statistics`;
  const near = nearestDivisor(batchSize, ghostSize);
  return `a batch of ${formatCount(batchSize)} is not a multiple of the ghost size ${formatCount(ghostSize)}: ${layout}; a ghost size of ${formatCount(near)} would divide it evenly`;
}

/** The divisor nearest to a wanted one. The number itself, i.e. a single ghost, only if there is no other. */
function nearestDivisor(number: number, wanted: number): number {
  let nearest = number;
  for (let divisor = 2; divisor <= number / 2; divisor++) {
    const isNearer = nearest === number || Math.abs(divisor - wanted) < Math.abs(nearest - wanted);
    if (number % divisor === 0 && isNearer) nearest = divisor;
  }
  return nearest;
}

export interface EpochPlan {
  readonly stepsPerEpoch: number;
  /** The layout of every batch but the last of an epoch; null if the epoch is one partial batch. */
  readonly full: PlannedLayout | null;
  /** The layout of the last batch of an epoch, equal to `full` if there is no partial batch. */
  readonly last: PlannedLayout;
  /** The layout of the batch with the most samples: `full` if there is one. */
  readonly largest: PlannedLayout;
  /** The largest number of ghosts in a batch. */
  readonly maximumGhosts: number;
}

/** All batches of an epoch of `samples` training samples. */
export function planEpoch({ samples, ...options }: PartitionOptions): EpochPlan {
  const { batchSize, policy } = options;
  const steps = stepsPerEpoch({ samples, batchSize, policy });
  const rest = samples % batchSize;
  const isPartial = rest > 0 && policy !== "drop";
  const full =
    samples >= batchSize || policy === "wrap" ? partitionBatch({ ...options, samples: batchSize }) : null;
  const last = isPartial || full === null ? partitionBatch({ ...options, samples: rest }) : full;
  const maximumGhosts = Math.max(full?.ghosts ?? 0, last.ghosts);
  return { stepsPerEpoch: steps, full, last, largest: full ?? last, maximumGhosts };
}

/** Samples in the first `steps` steps. */
export function samplesOfSteps({ stepsPerEpoch, largest, last }: EpochPlan, steps: number): number {
  const epoch = (stepsPerEpoch - 1) * largest.total + last.total;
  return Math.floor(steps / stepsPerEpoch) * epoch + (steps % stepsPerEpoch) * largest.total;
}

/**
 * Steps in an epoch: ⌈samples / batchSize⌉, or ⌊…⌋ where a partial last batch is dropped.
 * @throws UsageError when that is 0
 */
export function stepsPerEpoch(options: Pick<PartitionOptions, "samples" | "batchSize" | "policy">): number {
  const { samples, batchSize, policy } = options;
  requireWhole("batch size", batchSize);
  requireWhole("training samples", samples);
  const batches = samples / batchSize;
  const steps = policy === "drop" ? Math.floor(batches) : Math.ceil(batches);
  if (steps === 0) {
    throw new UsageError(
      `batches: ${samples} samples do not fill a batch of ${batchSize}, and the policy drop discards partial batches`,
    );
  }
  return steps;
}

/** A part of a batch, small enough for the device: whole ghosts, in order. */
export interface Slab extends GhostLayout {
  /** Index of its first ghost in the batch. */
  readonly firstGhost: number;
  /** Index of its first sample in the batch. */
  readonly firstSample: number;
}

/** Ghosts [first, end) of a batch, or of a part of one. */
export function ghostsFrom(layout: GhostLayout & Partial<Slab>, first: number, end: number): Slab {
  const { ghostSize, ghosts, last, weightPerSample, weightPerSampleLast } = layout;
  const here = end - first;
  const isLast = end === ghosts;
  const lastHere = isLast ? last : ghostSize;
  return {
    firstGhost: (layout.firstGhost ?? 0) + first,
    firstSample: (layout.firstSample ?? 0) + first * ghostSize,
    ghostSize: here === 1 ? lastHere : ghostSize,
    ghosts: here,
    last: lastHere,
    total: (here - 1) * ghostSize + lastHere,
    weightPerSample: here === 1 && isLast ? weightPerSampleLast : weightPerSample,
    weightPerSampleLast: isLast ? weightPerSampleLast : weightPerSample,
  };
}

/**
 * Cuts a batch, or a part of one, into the fewest slabs of whole ghosts with at most `slabSamples` samples each, of equal size
 * if possible: that means fewer shapes to compile and less memory than filling one slab before starting the next.
 * @throws UsageError if a single ghost is larger
 */
export function slabs(layout: GhostLayout & Partial<Slab>, slabSamples: number): Slab[] {
  const { ghostSize, ghosts, last } = layout;
  requireWhole("samples of a slab", slabSamples);
  for (let count = 1; count <= ghosts; count++) {
    const each = Math.ceil(ghosts / count);
    const list: Slab[] = [];
    for (let first = 0; first < ghosts; first += each)
      list.push(ghostsFrom(layout, first, Math.min(first + each, ghosts)));
    if (list.every(({ total }) => total <= slabSamples)) return list;
  }
  const largest = Math.max(last, ghosts > 1 ? ghostSize : 0);
  throw new UsageError(
    `slabs: a ghost of ${largest} samples does not fit in a slab of at most ${slabSamples}; use a smaller ghost size`,
  );
}
