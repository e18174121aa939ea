/** The log on the GPU, which steps write and log points read back. */
import type { Gpu } from "../gpu/gpu.ts";
import { persistent, readFloats, slice, type Tensor } from "../tensor/tensor.ts";

export interface StepMetrics {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  /** Percentage of the batch's samples. */
  readonly accuracy: number;
  readonly accuracyTop5: number;
  readonly gradientNorm: number;
  readonly clipCoefficient: number;
  readonly learningRate: number;
}

export interface Distances {
  readonly step: number;
  /** ‖w − w₀‖ of the first parameter tensor only, as the paper's code logs it. */
  readonly distanceFirst: number;
  /** ‖w − w₀‖ of all parameters. */
  readonly distanceAll: number;
}

/** Rows of the log on the GPU, and so the most steps between two read-backs. */
export const LOG_ROWS = 1024;
const LOG_FIELDS = 8;

/** Distances between two read-backs; more than LOG_ROWS steps can need, which is 12 per decade and one per read-back. */
const DISTANCE_ROWS = 64;
/** Numbers in a row of distances; 256 bytes, so that each row can be bound separately. */
const ROW = 64;

export class StepLog {
  /** [LOG_ROWS, 8] */
  readonly steps: Tensor;
  /** [DISTANCE_ROWS + 1, 64]: two distances per row; the last row starts with a count of non-finite numbers. */
  readonly measurements: Tensor;

  constructor(gpu: Gpu) {
    this.steps = persistent(gpu, [LOG_ROWS, LOG_FIELDS], { label: "log" });
    this.measurements = persistent(gpu, [DISTANCE_ROWS + 1, ROW], { label: "distance log" });
  }

  /** [2]: the row for the n-th distances since the last read-back. */
  distances(n: number): Tensor {
    return slice(this.measurements, n * ROW, [2]);
  }

  /** [1] of u32 bits. */
  get nonFinite(): Tensor {
    return slice(this.measurements, DISTANCE_ROWS * ROW, [1]);
  }

  /**
   * Metrics of steps `from` + 1 to `to`, distances of the given steps, and the number of NaN or infinite parameters and
   * running statistics.
   */
  async read({
    from,
    to,
    distanceSteps,
    stepsPerEpoch,
  }: {
    from: number;
    to: number;
    distanceSteps: readonly number[];
    stepsPerEpoch: number;
  }): Promise<{ steps: StepMetrics[]; distances: Distances[]; nonFinite: number }> {
    const [rows, measured] = await Promise.all([readFloats(this.steps), readFloats(this.measurements)]);
    const distances = distanceSteps.map((step, n) => ({
      step,
      distanceFirst: measured[n * ROW]!,
      distanceAll: measured[n * ROW + 1]!,
    }));
    const nonFinite = new Uint32Array(measured.buffer)[DISTANCE_ROWS * ROW]!;
    return { steps: metricsOf(rows, { from, to, stepsPerEpoch }), distances, nonFinite };
  }
}

/** Rows of the log as metrics: steps `from` + 1 to `to`. @param rows [LOG_ROWS · 8] */
export function metricsOf(
  rows: Float32Array,
  { from, to, stepsPerEpoch }: { from: number; to: number; stepsPerEpoch: number },
): StepMetrics[] {
  return Array.from({ length: to - from }, (_, i) => {
    const at = ((from + i) % LOG_ROWS) * LOG_FIELDS;
    const [loss, top1, top5, samples, gradientNorm, clipCoefficient, learningRate] = rows.subarray(
      at,
      at + LOG_FIELDS,
    );
    const step = from + i + 1;
    return {
      step,
      epoch: step / stepsPerEpoch,
      loss: loss!,
      accuracy: (100 * top1!) / samples!,
      accuracyTop5: (100 * top5!) / samples!,
      gradientNorm: gradientNorm!,
      clipCoefficient: clipCoefficient!,
      learningRate: learningRate!,
    };
  });
}
