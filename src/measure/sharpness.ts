/**
 * Sharpness (Keskar et al. 2017, Metric 2.1): how far the loss f rises in a small box around the weights x,
 *
 *   φ = 100 · (max f(x + A y) − f(x)) / (1 + f(x))       |y_i| ≤ ε (|(A⁺x)_i| + 1)
 *
 * with A the identity or n × 100 random. The maximum is searched with ten steps of projected gradient ascent, so φ is a
 * lower bound. Batch norm makes f independent of the scale of the weights before it, but the box is not; the scale-free
 * variant bounds |y_i| ≤ ε |x_i| (as Kwon et al. 2021, "ASAM"). f is the training loss on fixed samples, with batch norm by
 * the statistics of their ghosts, as in Keskar's code at test time.
 */
import type { ModelState } from "../nn/model-state.ts";
import { pcg4d, STREAMS, uniform01 } from "../support/random.ts";
import { readFloats } from "../tensor/tensor.ts";
import { type GradientProbe, parameterRanges } from "./probe.ts";
import { norm } from "./random-directions.ts";

export type SharpnessSpace = "full" | "random" | "scale-free";

export interface SharpnessOptions {
  readonly space: SharpnessSpace;
  /** ε: Keskar's are 1e-3 and 5e-4. */
  readonly epsilon: number;
  readonly seed: number;
}

export interface Sharpness extends SharpnessOptions {
  /** φ, percent. */
  readonly sharpness: number;
  readonly startLoss: number;
  readonly highestLoss: number;
}

/** Keskar's number of L-BFGS-B iterations. */
const ITERATIONS = 10;
/** Step size as a fraction of the box's half width: corners can be reached in four steps, and left again. */
const STEP = 0.25;
/** Keskar's dimension of the random subspace. */
const SUBSPACE = 100;

/** Measures, and restores the weights. */
export async function measureSharpness(
  state: ModelState,
  probe: GradientProbe,
  samples: Uint32Array<ArrayBuffer>,
  { space, epsilon, seed }: SharpnessOptions,
): Promise<Sharpness> {
  const { gpu, values } = state;
  const start = await readFloats(values);
  const box = boxOf(state, start, { space, epsilon, seed });
  const y = new Float32Array(box.halfWidths.length);
  const moved = new Float32Array(start.length);
  let startLoss = Number.NaN;
  let highestLoss = Number.NEGATIVE_INFINITY;
  try {
    for (let iteration = 0; iteration <= ITERATIONS; iteration++) {
      box.move(y, moved);
      for (let i = 0; i < start.length; i++) moved[i]! += start[i]!;
      gpu.write(values, moved);
      const { loss, gradient } = await probe.gradient(samples);
      if (iteration === 0) startLoss = loss;
      if (loss > highestLoss) highestLoss = loss;
      const ascent = box.project(gradient);
      // In a box the steepest direction is the sign of each coordinate.
      for (let i = 0; i < y.length; i++) {
        const width = box.halfWidths[i]!;
        const next = y[i]! + STEP * width * Math.sign(ascent[i]!);
        y[i] = Math.min(width, Math.max(-width, next));
      }
    }
  } finally {
    gpu.write(values, start);
  }
  return {
    space,
    epsilon,
    seed,
    startLoss,
    highestLoss,
    sharpness: (100 * (highestLoss - startLoss)) / (1 + startLoss),
  };
}

interface Box {
  readonly halfWidths: Float32Array;
  /** Writes A y to `target`. */
  move(y: Float32Array, target: Float32Array): void;
  /** Aᵀ g: the gradient with respect to y. */
  project(gradient: Float32Array): Float32Array;
}

function boxOf(state: ModelState, start: Float32Array, { space, epsilon, seed }: SharpnessOptions): Box {
  const ranges = parameterRanges(state);
  if (space === "random") return subspaceBox(start, ranges, epsilon, seed);
  const halfWidths = new Float32Array(start.length);
  for (const { start: first, size } of ranges) {
    for (let i = first; i < first + size; i++)
      halfWidths[i] = epsilon * (Math.abs(start[i]!) + (space === "full" ? 1 : 0));
  }
  return { halfWidths, move: (y, target) => target.set(y), project: (gradient) => gradient };
}

/** Columns of A are random with norm 1. In many dimensions they are nearly orthogonal, so A⁺ is nearly Aᵀ. */
function subspaceBox(
  start: Float32Array,
  ranges: readonly { start: number; size: number }[],
  epsilon: number,
  seed: number,
): Box {
  const columns = Array.from({ length: SUBSPACE }, (_, k) => {
    const column = new Float32Array(start.length);
    for (const { start: first, size } of ranges) {
      for (let i = first; i < first + size; i++) {
        const [a, b] = pcg4d(seed, STREAMS.sharpnessSubspace, k, i);
        column[i] = Math.sqrt(-2 * Math.log(1 - uniform01(a))) * Math.cos(2 * Math.PI * uniform01(b));
      }
    }
    const scale = 1 / norm(column);
    for (let i = 0; i < column.length; i++) column[i]! *= scale;
    return column;
  });
  const project = (vector: Float32Array) => Float32Array.from(columns, (column) => dot(column, vector));
  return {
    halfWidths: project(start).map((value) => epsilon * (Math.abs(value) + 1)),
    move: (y, target) => {
      target.fill(0);
      for (const [k, column] of columns.entries())
        for (let i = 0; i < target.length; i++) target[i]! += y[k]! * column[i]!;
    },
    project,
  };
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
