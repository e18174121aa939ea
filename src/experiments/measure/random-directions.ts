/**
 * The loss along random directions from a point (Hoffer et al. 2017, appendix B and Figure 4): w = w₀ + z v, v a random
 * direction of norm 1, z uniform in [0, c]; the spread of L(w) − L(w₀) against ‖w − w₀‖. A spread that grows as d^(α/2) is
 * the random walk of exponent α; but any differentiable loss has the spread
 *
 *   d · ‖∇L(w₀)‖ / √P
 *
 * near w₀, so a line says nothing until it leaves that one. Both are given.
 */
import type { ModelState } from "../../nn/model-state.ts";
import { pcg4d, STREAMS, uniform01 } from "../../support/random.ts";
import { fitLine, mean } from "../../support/statistics.ts";
import { readFloats } from "../../tensor/tensor.ts";
import { type GradientProbe, parameterRanges } from "./probe.ts";

/** unit: one normal vector, scaled to norm 1; filter: each parameter tensor's part scaled to that tensor's own norm. */
export type DirectionKind = "unit" | "filter";

export interface DirectionPoint {
  /** ‖w − w₀‖. */
  readonly distance: number;
  readonly loss: number;
}

export interface DirectionBin {
  /** Mean distance of the points. */
  readonly distance: number;
  /** √ of the mean of (L(w) − L(w₀))². */
  readonly deviation: number;
  /** Mean of L(w) − L(w₀): d²·tr(H) / (2P) where the loss is a paraboloid. */
  readonly shift: number;
  readonly points: number;
}

export interface DirectionMeasurement {
  readonly kind: DirectionKind;
  /** c: the largest distance. */
  readonly range: number;
  readonly startLoss: number;
  /** ‖∇L(w₀)‖. */
  readonly gradientNorm: number;
  /** ‖∇L(w₀)‖ / √P, the slope of the spread near w₀. */
  readonly taylorSlope: number;
  readonly parameters: number;
  /** ‖w₀‖. */
  readonly startNorm: number;
  readonly points: readonly DirectionPoint[];
  readonly bins: readonly DirectionBin[];
  /** The spread as √(floor² + (slope · d)²). */
  readonly floor: number;
  readonly slope: number;
  /** Of the power law through the bins; α / 2 in the paper's terms. */
  readonly exponent: number;
  /** The distance from which the spread differs from the Taylor line by more than 15 %; null if it never does. */
  readonly leavesTaylorAt: number | null;
}

export interface DirectionOptions {
  readonly kind: DirectionKind;
  readonly range: number;
  readonly directions: number;
  readonly seed: number;
  readonly bins?: number;
}

/**
 * Measures and puts the weights back.
 * @param samples the samples of the loss, one batch of the probe, the same at every point
 */
export async function measureDirections(
  state: ModelState,
  probe: GradientProbe,
  samples: Uint32Array<ArrayBuffer>,
  { kind, range, directions, seed, bins = 10 }: DirectionOptions,
  onProgress?: (done: number) => void,
): Promise<DirectionMeasurement> {
  const { gpu, values } = state;
  const start = await readFloats(values);
  const ranges = parameterRanges(state);
  const parameters = ranges.reduce((sum, { size }) => sum + size, 0);
  const { loss: startLoss, gradient } = await probe.gradient(samples);
  const gradientNorm = norm(gradient);
  const points: DirectionPoint[] = [];
  const moved = new Float32Array(start.length);
  try {
    for (let i = 0; i < directions; i++) {
      const direction = randomDirection(start, ranges, kind, [seed, i]);
      const z = range * uniform01(pcg4d(seed, STREAMS.directionLengths, i, 0)[0]);
      for (let j = 0; j < start.length; j++) moved[j] = start[j]! + z * direction[j]!;
      gpu.write(values, moved);
      points.push({ distance: z * norm(direction), loss: await probe.loss(samples) });
      onProgress?.(i + 1);
    }
  } finally {
    gpu.write(values, start);
  }
  const taylorSlope = gradientNorm / Math.sqrt(parameters);
  const binned = binPoints(points, startLoss, bins);
  return {
    kind,
    range,
    startLoss,
    gradientNorm,
    taylorSlope,
    parameters,
    startNorm: norm(start),
    points,
    bins: binned,
    ...fitSpread(binned),
    leavesTaylorAt:
      binned.find(({ distance, deviation }) => Math.abs(deviation / (taylorSlope * distance) - 1) > 0.15)
        ?.distance ?? null,
  };
}

/** Equal parts of the range of distances; empty ones are left out. */
export function binPoints(
  points: readonly DirectionPoint[],
  startLoss: number,
  bins: number,
): DirectionBin[] {
  const largest = Math.max(...points.map(({ distance }) => distance));
  const groups = Array.from({ length: bins }, (): DirectionPoint[] => []);
  for (const point of points) {
    if (Number.isFinite(point.loss))
      groups[Math.min(bins - 1, Math.floor((bins * point.distance) / largest))]!.push(point);
  }
  return groups
    .filter((group) => group.length > 0)
    .map((group) => {
      const differences = group.map(({ loss }) => loss - startLoss);
      return {
        distance: mean(group.map(({ distance }) => distance)),
        deviation: Math.sqrt(mean(differences.map((difference) => difference ** 2))),
        shift: mean(differences),
        points: group.length,
      };
    });
}

/** deviation² = floor² + slope² · d² by least squares on the squares, weighted by 1 / deviation⁴; and the power law. */
export function fitSpread(bins: readonly DirectionBin[]): { floor: number; slope: number; exponent: number } {
  if (bins.length < 3) return { floor: Number.NaN, slope: Number.NaN, exponent: Number.NaN };
  let [w, wx, wy, wxx, wxy] = [0, 0, 0, 0, 0];
  for (const { distance, deviation } of bins) {
    const [x, y] = [distance ** 2, deviation ** 2];
    const weight = 1 / Math.max(y * y, Number.MIN_VALUE);
    w += weight;
    wx += weight * x;
    wy += weight * y;
    wxx += weight * x * x;
    wxy += weight * x * y;
  }
  const slopeSquared = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  const floorSquared = (wy - slopeSquared * wx) / w;
  const power = fitLine(
    bins.map(({ distance }) => Math.log(distance)),
    bins.map(({ deviation }) => Math.log(Math.max(deviation, Number.MIN_VALUE))),
  );
  return {
    floor: Math.sqrt(Math.max(0, floorSquared)),
    slope: Math.sqrt(Math.max(0, slopeSquared)),
    exponent: power.slope,
  };
}

function randomDirection(
  start: Float32Array,
  ranges: readonly { start: number; size: number }[],
  kind: DirectionKind,
  [seed, index]: readonly [number, number],
): Float32Array {
  const direction = new Float32Array(start.length);
  for (const { start: first, size } of ranges) {
    for (let j = first; j < first + size; j++) direction[j] = normal(seed, index, j);
    if (kind !== "filter") continue;
    const part = direction.subarray(first, first + size);
    const own = norm(start.subarray(first, first + size));
    const scale = own / norm(part);
    for (let j = 0; j < size; j++) part[j]! *= scale;
  }
  const scale = 1 / norm(direction);
  for (let j = 0; j < direction.length; j++) direction[j]! *= scale;
  return direction;
}

function normal(seed: number, index: number, position: number): number {
  const [a, b] = pcg4d(seed, STREAMS.directions, index, position);
  return Math.sqrt(-2 * Math.log(1 - uniform01(a))) * Math.cos(2 * Math.PI * uniform01(b));
}

export function norm(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum);
}
