/** Summarizes times of repeated runs so that disturbed runs do not matter. */
import { DeviceError } from "../support/errors.ts";
import { quantile } from "../support/statistics.ts";

export interface Summary {
  /** Number of measurements. */
  readonly n: number;
  readonly median: number;
  /** Quartiles: half of all runs lie between them. */
  readonly low: number;
  readonly high: number;
  readonly best: number;
}

/** @throws RangeError for an empty list, DeviceError for an invalid median */
export function summarize(times: readonly number[]): Summary {
  if (times.length === 0) throw new RangeError("no times to sum up");
  const median = quantile(times, 0.5);
  if (!(median > 0 && Number.isFinite(median)))
    throw new DeviceError(`a median time of ${median} ms: the clock of this adapter is unusable`);
  return {
    n: times.length,
    median,
    low: quantile(times, 0.25),
    high: quantile(times, 0.75),
    best: Math.min(...times),
  };
}

/** "1.23 ms (1.20 to 1.31)": median and quartiles. */
export function summaryText({ median, low, high }: Summary): string {
  return `${milliseconds(median)} ms (${milliseconds(low)} to ${milliseconds(high)})`;
}

/** At least three digits, whatever the size. */
export function milliseconds(ms: number): string {
  return ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms >= 1 ? ms.toFixed(2) : ms.toFixed(3);
}
