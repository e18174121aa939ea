/**
 * The covariance of a step's gradient against the batch size at fixed weights (Hoffer et al. 2017, equation 4): its trace
 * falls as 1/M if samples' gradients are independent of each other, which justifies η ∝ √M. With batch norm over the
 * whole batch they are not; with ghosts, the gradient is a mean of the ghosts' independent gradients, and the law is exact again.
 */

import type { ResidentDataset } from "../data/resident.ts";
import { Arena } from "../gpu/recording.ts";
import type { ModelState } from "../nn/model-state.ts";
import { ghostSizeOf } from "../run/run-spec.ts";
import type { MessageSink } from "../support/messages.ts";
import { boundedInteger, pcg4d, STREAMS } from "../support/random.ts";
import { fitLine, mean, standardDeviation } from "../support/statistics.ts";
import { GradientMoments } from "./gradient-noise-scale.ts";
import { GradientProbe } from "./probe.ts";

export interface CovariancePoint {
  readonly batchSize: number;
  /** tr cov(ĝ) over the drawn batches. */
  readonly trace: number;
  /** M · tr, which is constant according to the law. */
  readonly scaled: number;
  /** Standard error of `scaled`, from parts of the draws. */
  readonly scaledError: number;
}

/** Number of parts, from whose traces the error is estimated; with the fewest draws, each has at least two gradients. */
const PARTS = 4;

export interface CovarianceCurve {
  /** Samples normalized together; null for the whole batch. */
  readonly ghostSize: number | null;
  readonly points: readonly CovariancePoint[];
  /** Slope of ln tr against ln M; the law is −1. Its error is propagated from those of the traces. */
  readonly slope: number;
  readonly slopeError: number;
}

export interface CovarianceOptions {
  readonly batchSizes: readonly number[];
  readonly ghostSize: number | null;
  /** Number of batches of the largest size; √(largest / M) times as many of smaller ones, whose traces scatter more. */
  readonly draws: number;
  readonly seed: number;
  /** σ of multiplicative noise at each batch size; none by default. */
  readonly gradientNoise?: (batchSize: number) => number;
  /** As for a probe. */
  readonly memoryBytes?: number | undefined;
}

/** With replacement: without it the trace would fall by (N − M) / (N − 1) too. */
export function drawBatch(
  size: number,
  samples: number,
  key: { seed: number; draw: number },
): Uint32Array<ArrayBuffer> {
  return Uint32Array.from({ length: size }, (_, i) =>
    boundedInteger(pcg4d(key.seed, STREAMS.measuredBatches, key.draw, i)[0], samples),
  );
}

export async function measureCovariance(
  state: ModelState,
  data: ResidentDataset,
  { batchSizes, ghostSize, draws, seed, gradientNoise = () => 0, memoryBytes }: CovarianceOptions,
  onProgress?: MessageSink,
): Promise<CovarianceCurve> {
  const points: CovariancePoint[] = [];
  const largest = Math.max(...batchSizes);
  const arena = new Arena(state.gpu);
  const probes = new Map<number, GradientProbe>();
  // The largest first: the others fit into its memory.
  for (const batchSize of [...batchSizes].sort((a, b) => b - a)) {
    const options = {
      batchSize,
      ghostSize: Math.min(ghostSizeOf({ ghostSize, batchSize }), batchSize),
      gradientNoise: gradientNoise(batchSize),
      memoryBytes,
      arena,
    };
    probes.set(batchSize, await GradientProbe.create(state, data, options));
  }
  for (const batchSize of batchSizes) {
    const probe = probes.get(batchSize)!;
    const moments = new GradientMoments(state.gradients.size);
    const parts = Array.from({ length: PARTS }, () => new GradientMoments(state.gradients.size));
    const count = Math.round(draws * Math.sqrt(largest / batchSize));
    for (let draw = 0; draw < count; draw++) {
      const batch = drawBatch(batchSize, data.train.count, { seed, draw: draw + 100_003 * batchSize });
      const { gradient } = await probe.gradient(batch, draw);
      moments.add(gradient);
      parts[draw % PARTS]!.add(gradient);
    }
    const { trace } = moments;
    const error = standardDeviation(parts.map((part) => part.trace)) / Math.sqrt(PARTS);
    points.push({ batchSize, trace, scaled: batchSize * trace, scaledError: batchSize * error });
    onProgress?.(`batch ${batchSize}: M·tr ${(batchSize * trace).toPrecision(4)}`);
  }
  // A single size has no slope.
  const slope = points.length > 1 ? slopeOf(points) : { slope: Number.NaN, slopeError: Number.NaN };
  return { ghostSize, points, ...slope };
}

export function slopeOf(points: readonly CovariancePoint[]): { slope: number; slopeError: number } {
  const x = points.map(({ batchSize }) => Math.log(batchSize));
  const { slope } = fitLine(
    x,
    points.map(({ trace }) => Math.log(trace)),
  );
  const center = mean(x);
  const squares = x.reduce((sum, value) => sum + (value - center) ** 2, 0);
  // The slope is Σ (x − x̄) ln tr / Σ (x − x̄)², and ln tr has the relative error of tr.
  const variance = points.reduce(
    (sum, { scaled, scaledError }, i) => sum + ((x[i]! - center) * (scaledError / scaled)) ** 2,
    0,
  );
  return { slope, slopeError: Math.sqrt(variance) / squares };
}
