/**
 * The loss along random directions from a point (Hoffer et al. 2017, appendix B and Figure 4): w = w₀ + z v, v a random
 * direction of norm 1, z uniform in [0, c]; the spread of L(w) − L(w₀) against ‖w − w₀‖. A spread that grows as d^(α/2) is
 * the random walk of exponent α; but any differentiable loss has the spread
 *
 *   d · √E[(∇L(w₀)·v)²]     = d · ‖∇L(w₀)‖ / √P for isotropic directions v of P coordinates
 *
 * near w₀, so a spread along this line says nothing about α. Both are given, and the distance where they differ by more than
 * this many directions of a linear loss would.
 */
import type { ModelState } from "../nn/model-state.ts";
import { pcg4d, STREAMS, uniform01 } from "../support/random.ts";
import { readFloats } from "../tensor/tensor.ts";
import {
  binPoints,
  type Curvature,
  curvatureOf,
  type DirectionBin,
  type DirectionPoint,
  fitSpread,
  leavesTaylorAt,
  type SpreadFit,
} from "./loss-spread.ts";
import { type GradientProbe, parameterRanges } from "./probe.ts";

/**
 * unit: one normal vector, scaled to norm 1. filter: each parameter tensor's part scaled to that tensor's norm ‖w_t‖, then the
 * whole to norm 1; E[(g·v)²] is then Σ_t ‖g_t‖² ‖w_t‖² / (P_t ‖w‖²).
 */
export type DirectionKind = "unit" | "filter";

export interface DirectionMeasurement extends SpreadFit, Curvature {
  readonly kind: DirectionKind;
  /** c: the largest distance. */
  readonly range: number;
  readonly startLoss: number;
  /** ‖∇L(w₀)‖. */
  readonly gradientNorm: number;
  /** √E[(∇L(w₀)·v)²], the slope of the spread near w₀. */
  readonly taylorSlope: number;
  readonly parameters: number;
  /** ‖w₀‖. */
  readonly startNorm: number;
  readonly points: readonly DirectionPoint[];
  readonly bins: readonly DirectionBin[];
  /** Distance of the first bin that leaves the Taylor line; null if none does (leavesTaylorAt in loss-spread.ts). */
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
 * Measures, and restores the weights.
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
  const taylorSlope = taylorSlopeOf(kind, { gradient, start, ranges });
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
    leavesTaylorAt: leavesTaylorAt(binned, taylorSlope),
    ...curvatureOf(points, startLoss),
  };
}

type Range = ReturnType<typeof parameterRanges>[number];

/** √E[(∇L·v)²] over the directions of a kind. */
function taylorSlopeOf(
  kind: DirectionKind,
  { gradient, start, ranges }: { gradient: Float32Array; start: Float32Array; ranges: readonly Range[] },
): number {
  const parts = ranges.map(({ start: first, size }) => {
    const slope = norm(gradient.subarray(first, first + size));
    return { size, slope, weight: norm(start.subarray(first, first + size)) };
  });
  const total = (of: (part: (typeof parts)[number]) => number) =>
    parts.reduce((sum, part) => sum + of(part), 0);
  if (kind === "unit") return Math.sqrt(total(({ slope }) => slope ** 2) / total(({ size }) => size));
  const scaled = total(({ slope, weight, size }) => (slope * weight) ** 2 / size);
  return Math.sqrt(scaled / total(({ weight }) => weight ** 2));
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
