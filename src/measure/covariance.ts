/**
 * The covariance of a step's gradient against the batch size at fixed weights (Hoffer et al. 2017, equation 4): its trace
 * falls as 1/M where samples' gradients do not depend on each other, which justifies η ∝ √M. Under batch norm over the
 * whole batch they do; with ghosts, the gradient is a mean of independent ones of ghosts, and the law is exact again.
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
  /** M · tr, which the law says is constant. */
  readonly scaled: number;
  /** Standard error of `scaled`, from parts of the draws. */
  readonly scaledError: number;
}

/** Parts whose traces tell the error of the trace of all: each has at least two gradients of the fewest draws. */
const PARTS = 4;

export interface CovarianceCurve {
  /** Samples normalized together; null for the whole batch. */
  readonly ghostSize: number | null;
  readonly points: readonly CovariancePoint[];
  /** Of ln tr against ln M; −1 is the law. Its error is that of the traces, carried through the fit. */
  readonly slope: number;
  readonly slopeError: number;
}

export interface CovarianceOptions {
  readonly batchSizes: readonly number[];
  readonly ghostSize: number | null;
  /** Batches drawn of the largest size; of smaller ones √(largest / M) times as many, as their traces scatter more. */
  readonly draws: number;
  readonly seed: number;
  /** σ of multiplicative noise at each batch size; none by default. */
  readonly gradientNoise?: (batchSize: number) => number;
  /** As of a probe. */
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
  // The largest first: the others find room in its memory.
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
  // One size has a trace and no slope.
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
