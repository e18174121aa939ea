/** The measurements of `measure`: each at one point, with results as plain JSON and as lines of text. */
import { describeDirections } from "../report/describe-measurement.ts";
import { ghostSizeOf } from "../run/run-spec.ts";
import { drawBatch, measureCovariance } from "./covariance.ts";
import { GradientMoments, meanToDeviation, noiseScale } from "./gradient-noise-scale.ts";
import { COVARIANCE_GHOSTS, LOSS_SAMPLES, type MeasuredPoint } from "./point.ts";
import { GradientProbe } from "./probe.ts";
import { type DirectionKind, measureDirections } from "./random-directions.ts";
import { measureSharpness, type SharpnessSpace } from "./sharpness.ts";

export interface MeasurementOptions {
  /** Number of batches, rounds or directions. */
  readonly draws: number;
  readonly seed: number;
}

/** Result of a measurement: plain JSON for the record, lines for the terminal. */
export interface Measured {
  readonly data: unknown;
  readonly lines: readonly string[];
  readonly notes?: readonly string[];
}

export type Measurement = (point: MeasuredPoint, options: MeasurementOptions) => Promise<Measured>;

export const MEASUREMENTS: Readonly<Record<string, { about: string; measure: Measurement }>> = {
  ratio: {
    about: "ratio of the gradient's mean to its standard deviation, ρ(B), and its median over coordinates",
    measure: measureRatio,
  },
  covariance: {
    about: "trace of the gradient's covariance against the batch size, with and without ghosts",
    measure: covariance,
  },
  "noise-scale": {
    about: "the gradient noise scale with a 95 % interval, or undetermined",
    measure: measureNoiseScale,
  },
  sharpness: {
    about: "Keskar's sharpness in the full space, in 100 dimensions, and scale-free",
    measure: sharpness,
  },
  directions: {
    about: "the loss along random directions, unscaled and scaled by tensor",
    measure: directions,
  },
};

/** The most memory for the tensors of one batch, bytes. */
const memoryOf = ({ memory }: MeasuredPoint["spec"]) => memory * 2 ** 20;

async function covariance(
  { state, data, spec, ghostSize: ghost }: MeasuredPoint,
  { draws, seed }: MeasurementOptions,
): Promise<Measured> {
  const batchSizes = [1, 2, 4, 8, 16, 32, COVARIANCE_GHOSTS]
    .map((factor) => factor * ghost)
    .filter((size) => size <= data.train.count);
  const options = { batchSizes, draws, seed, memoryBytes: memoryOf(spec) };
  const onProgress = (text: string) => console.error(text);
  const ghosts = await measureCovariance(state, data, { ...options, ghostSize: ghost }, onProgress);
  const whole = await measureCovariance(state, data, { ...options, ghostSize: null }, onProgress);
  const lines = [ghosts, whole].map(({ ghostSize, slope, slopeError, points }) => {
    const [first, last] = [points[0]!, points.at(-1)!];
    return (
      `${ghostSize === null ? "batch norm over the whole batch" : `ghosts of ${ghostSize}`}: trace falls as M^${slope.toFixed(3)} ± ${slopeError.toFixed(3)}; ` +
      `M·tr ${first.scaled.toPrecision(3)} at ${first.batchSize}, ${last.scaled.toPrecision(3)} at ${last.batchSize}`
    );
  });
  return {
    data: [ghosts, whole],
    lines,
    notes: [
      `${draws} batches of the largest size and √(largest / M) times as many of M, drawn with replacement`,
    ],
  };
}

/** Gradients of batches of one ghost each. */
function singleGhostProbe({ state, data, spec, ghostSize }: MeasuredPoint): Promise<GradientProbe> {
  return GradientProbe.create(state, data, {
    batchSize: ghostSize,
    ghostSize,
    memoryBytes: memoryOf(spec),
  });
}

/** Small batches per round of the noise scale; the large batch is this many times larger. */
const BATCHES_PER_ROUND = 8;

async function measureNoiseScale(
  point: MeasuredPoint,
  { draws, seed }: MeasurementOptions,
): Promise<Measured> {
  const { state, data, ghostSize: ghost } = point;
  const probe = await singleGhostProbe(point);
  const rounds = [];
  for (let round = 0; round < draws; round++) {
    const moments = new GradientMoments(state.gradients.size);
    for (let i = 0; i < BATCHES_PER_ROUND; i++) {
      const draw = round * BATCHES_PER_ROUND + i;
      moments.add((await probe.gradient(drawBatch(ghost, data.train.count, { seed, draw }), draw)).gradient);
    }
    rounds.push({ small: moments.squares / moments.count, large: moments.squaredMean });
  }
  const large = BATCHES_PER_ROUND * ghost;
  const result = noiseScale(rounds, { small: ghost, large });
  const { scale, interval, squaredGradient, trace } = result;
  const text =
    scale === null
      ? "undetermined: the estimate of ‖g‖² without noise is not above 0; use more --draws"
      : `${scale.toFixed(0)} samples${interval ? `, 95 % interval ${interval.low.toFixed(0)} to ${interval.high.toFixed(0)}` : ", its interval undetermined: use more --draws"}`;
  return {
    data: { ...result, small: ghost, large, rounds },
    lines: [
      `gradient noise scale: ${text}`,
      `‖g‖² ${squaredGradient.toExponential(2)}, tr C of one sample ${trace.toExponential(2)}`,
    ],
    notes: [
      `${draws} rounds of ${BATCHES_PER_ROUND} batches of ${ghost}; noise of the gradients of ghosts, because with batch norm a single sample has no gradient of its own`,
    ],
  };
}

/** Ghosts in the larger batch whose ratio is measured; also, a ratio of two sums needs more batches than a slope does. */
const GROUP = 4;
/** Small batches in the paper's large one, 4096 / 128. */
const LARGE = 32;

async function measureRatio(point: MeasuredPoint, { draws, seed }: MeasurementOptions): Promise<Measured> {
  const { state, data, ghostSize: ghost } = point;
  const probe = await singleGhostProbe(point);
  const moments = new GradientMoments(state.gradients.size);
  // The mean of four ghosts is a batch of four; its ratio is also measured, not computed.
  const grouped = new GradientMoments(state.gradients.size);
  const group = new Float32Array(state.gradients.size);
  for (let draw = 0; draw < GROUP * draws; draw++) {
    const { gradient } = await probe.gradient(drawBatch(ghost, data.train.count, { seed, draw }), draw);
    moments.add(gradient);
    for (let i = 0; i < group.length; i++) group[i]! += gradient[i]! / GROUP;
    if (draw % GROUP === GROUP - 1) {
      grouped.add(group);
      group.fill(0);
    }
  }
  const squaredGradient = moments.squaredMean - moments.trace / moments.count;
  const scale = squaredGradient > 0 ? (moments.trace * ghost) / squaredGradient : null;
  const extrapolated = scale === null ? null : meanToDeviation(LARGE * ghost, scale);
  const ratios = [
    { batchSize: ghost, ratio: ratioOf(squaredGradient, moments.trace), measured: true },
    { batchSize: GROUP * ghost, ratio: ratioOf(squaredGradient, grouped.trace), measured: true },
    { batchSize: LARGE * ghost, ratio: extrapolated, measured: false },
  ];
  const lines =
    scale === null
      ? ["undetermined: the mean of the gradient cannot be distinguished from 0; use more --draws"]
      : ratios.map(
          ({ batchSize, ratio, measured }) =>
            `batch ${batchSize}: ‖E[Δw]‖ / √tr cov = ${ratio!.toFixed(3)}${ratio! >= 0.1 ? "" : ", the mean is far below the standard deviation"}` +
            `${measured ? "" : ", by √(B / B_simple), not measured"}`,
        );
  const { observed, floor, corrected } = moments.medianRatio;
  return {
    data: { ghostSize: ghost, batches: moments.count, scale, ratios, medianRatio: moments.medianRatio },
    lines: [
      ...lines,
      `median over coordinates of |mean| / deviation, batches of ${ghost}: ${corrected.toFixed(3)} (observed ${observed.toFixed(3)}, of which ${floor.toFixed(3)} is the sampling noise of ${moments.count} batches)`,
    ],
    notes: [`${moments.count} batches of ${ghost}`],
  };
}

/** ‖g‖ / √tr C; null if ‖g‖² cannot be distinguished from 0. */
function ratioOf(squaredGradient: number, trace: number): number | null {
  return squaredGradient > 0 ? Math.sqrt(squaredGradient / trace) : null;
}

/** The loss on which the run was trained: normalized in its ghosts, or over the whole batch if it had none. */
async function lossProbe({ state, data, spec }: MeasuredPoint) {
  const ghost = Math.min(ghostSizeOf(spec), LOSS_SAMPLES);
  const wanted = Math.min(LOSS_SAMPLES, data.train.count);
  const batchSize = Math.max(ghost, wanted - (wanted % ghost));
  const probe = await GradientProbe.create(state, data, {
    batchSize,
    ghostSize: ghost,
    memoryBytes: memoryOf(spec),
  });
  return {
    probe,
    samples: Uint32Array.from({ length: batchSize }, (_, i) => i),
    note: `loss on ${batchSize} training images, unaugmented, normalized by the statistics of ${ghost} at a time as in training, dropout included; Keskar's froze running statistics`,
  };
}

async function sharpness(point: MeasuredPoint, { seed }: MeasurementOptions): Promise<Measured> {
  const { probe, samples, note } = await lossProbe(point);
  const choices: [SharpnessSpace, number][] = [
    ...(["full", "random"] as const).flatMap((space) =>
      [1e-3, 5e-4].map((epsilon): [SharpnessSpace, number] => [space, epsilon]),
    ),
    ["scale-free", 1e-2],
  ];
  const results = [];
  for (const [space, epsilon] of choices) {
    console.error(`sharpness ${results.length + 1} of ${choices.length}: ${space}, ε ${epsilon}`);
    results.push(await measureSharpness(point.state, probe, samples, { space, epsilon, seed }));
  }
  return {
    data: results,
    lines: results.map(
      ({ space, epsilon, sharpness, startLoss, highestLoss }) =>
        `${space.padEnd(10)} ε ${epsilon}: at least ${sharpness.toPrecision(3)} (loss ${startLoss.toFixed(4)} to ${highestLoss.toFixed(4)})`,
    ),
    notes: [note, "ten steps of projected ascent: lower bounds"],
  };
}

async function directions(point: MeasuredPoint, { seed, draws }: MeasurementOptions): Promise<Measured> {
  const { probe, samples, note } = await lossProbe(point);
  const results = [];
  for (const kind of ["unit", "filter"] as const satisfies readonly DirectionKind[]) {
    for (const range of [0.1, 1, 10]) {
      console.error(`directions ${results.length + 1} of 6: ${kind}, to a distance of ${range}`);
      results.push(
        await measureDirections(point.state, probe, samples, { kind, range, directions: draws, seed }),
      );
    }
  }
  return {
    data: results,
    lines: describeDirections(results),
    notes: [note, `${draws} directions for each range`],
  };
}
