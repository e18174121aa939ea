/**
 * Curves of Hoffer, Hubara, Soudry 2017 for ResNet44 on CIFAR-10, digitised from the figures of their poster and slides at
 * NIPS 2017. Reading errors: about 0.05 in distance, 0.15 in error (percent), 1e-4 in spread. The tables' numbers are
 * with their rows (src/paper/table1.ts, table2.ts).
 */

import type { ExperimentRecord } from "./experiment-record.ts";
import type { LoadedSeries } from "./series.ts";

/** The name of these curves in charts. */
export const PUBLISHED = "published (ResNet44, CIFAR-10)";

/** Figure 2a: distance from the start by epoch, for each batch size; without the remedies. */
export const DISTANCE_BY_EPOCH = {
  samples: 50_000,
  epochs: [1, 2, 3, 5, 8, 10, 15, 20, 30, 40, 50, 60, 65, 80],
  distance: {
    64: [2.54, 3.72, 4.66, 5.92, 6.91, 7.39, 8.26, 8.93, 9.77, 10.21, 10.54, 10.7, 10.76, 10.95],
    128: [1.91, 2.86, 3.77, 4.87, 5.89, 6.36, 7.3, 7.98, 8.86, 9.48, 9.83, 10.12, 10.23, 10.4],
    256: [1.5, 2.12, 2.71, 3.5, 4.37, 4.79, 5.52, 6.08, 6.87, 7.46, 7.87, 8.24, 8.4, 8.74],
    512: [0.91, 1.22, 1.58, 2.2, 2.87, 3.21, 3.9, 4.37, 5.08, 5.61, 6.08, 6.45, 6.59, 7.0],
    1024: [0.68, 0.82, 0.99, 1.37, 1.86, 2.11, 2.61, 2.96, 3.53, 3.96, 4.32, 4.62, 4.75, 5.13],
    2048: [0.52, 0.55, 0.61, 0.77, 1.05, 1.22, 1.58, 1.84, 2.26, 2.58, 2.82, 3.04, 3.15, 3.45],
  },
} as const;

/** Figure 2b: distance from the start at iterations, by batch size; learning rate adjusted, ghost batch norm. */
export const DISTANCE_WITH_CURES: Readonly<
  Record<number, { step: readonly number[]; distance: readonly number[] }>
> = {
  64: {
    step: [781, 1562, 3906, 7812, 15625, 31250, 46875, 62500],
    distance: [2.44, 3.73, 5.89, 7.4, 8.88, 10.13, 10.49, 10.65],
  },
  128: {
    step: [390, 781, 1953, 3906, 7812, 15625, 23437, 31250],
    distance: [1.89, 2.98, 4.7, 6.14, 7.57, 9.01, 9.76, 10.07],
  },
  256: {
    step: [195, 390, 976, 1953, 3906, 7812, 11718, 15625],
    distance: [1.72, 2.25, 3.59, 5.02, 6.37, 7.87, 8.74, 9.16],
  },
  512: {
    step: [97, 195, 488, 976, 1953, 3906, 5859, 7812],
    distance: [3.37, 3.42, 3.63, 4.09, 4.74, 6.0, 6.97, 7.63],
  },
  1024: {
    step: [48, 97, 244, 488, 976, 1953, 2929, 3906],
    distance: [2.87, 2.87, 2.89, 3.1, 3.77, 4.86, 5.75, 6.35],
  },
  2048: {
    step: [24, 48, 122, 244, 488, 976, 1464, 1953],
    distance: [3.56, 3.56, 3.56, 3.61, 3.55, 4.18, 4.88, 5.25],
  },
};

/** Epochs over which the medians of Figure 1b are taken. */
const SPANS = [
  { from: 20, to: 40 },
  { from: 60, to: 80 },
  { from: 84, to: 100 },
];

/** Figure 1b: medians of the validation error over epochs, percent. */
export const VALIDATION_ERROR: readonly { batchSize: number; from: number; to: number; error: number }[] = [
  [64, 15.0, 13.6, 6.9],
  [128, 14.9, 12.8, 7.2],
  [256, 14.8, 13.3, 7.9],
  [512, 17.4, 14.7, 9.1],
  [1024, 20.9, 16.1, 10.3],
  [2048, 25.4, 19.3, 12.7],
].flatMap(([batchSize, ...errors]) =>
  errors.map((error, i) => ({ batchSize: batchSize!, error, ...SPANS[i]! })),
);

/** Figure 4: spread of the loss along random directions against the distance. */
export const LOSS_SPREAD = {
  distance: [0.03, 0.56, 1.6, 2.64, 3.67, 4.7, 5.77, 6.77, 7.8, 8.85],
  deviation: [0.00122, 0.00147, 0.00197, 0.00282, 0.0034, 0.00417, 0.00496, 0.00543, 0.0065, 0.0075],
} as const;

/** The small batch, of which the other batch sizes in these figures are multiples. */
export const PUBLISHED_SMALL_BATCH = 128;

/** Figure 2a against the iteration. */
export function publishedDistances(): {
  batchSize: number;
  step: readonly number[];
  distance: readonly number[];
}[] {
  const { samples, epochs, distance } = DISTANCE_BY_EPOCH;
  return Object.entries(distance).map(([batch, values]) => {
    const batchSize = Number(batch);
    return {
      batchSize,
      step: epochs.map((epoch) => Math.round((epoch * samples) / batchSize)),
      distance: values,
    };
  });
}

export interface Overlay {
  readonly drawn: boolean;
  /** Why nothing is drawn, or what the dashed curves are. */
  readonly caption: string;
}

/**
 * Published curves are drawn only over results of the same network, images and number of epochs: another network has other
 * errors and distances, and with fewer epochs the rate drops elsewhere.
 */
export function overlayOf(
  { id, kind, scale, notes }: ExperimentRecord,
  series: readonly LoadedSeries[],
): Overlay {
  const runs = series.flatMap(({ loaded }) => loaded);
  const same = runs.every(({ configuration: { model, dataset, subset } }) => {
    return model === "resnet44" && dataset === "cifar10" && (subset ?? null) === null;
  });
  // Figure 4 has no runs: its record is named after the row, and a note says if other images were used.
  const named = id.startsWith(`${kind}-resnet44-`) && notes.every((note) => !note.includes("in place of"));
  const drawn = scale === "full" && (runs.length > 0 ? same : named);
  return {
    drawn,
    caption: drawn
      ? "Dashed: the published curves."
      : "The published curves are of ResNet44 on CIFAR-10 at full scale, so they are drawn only over such runs.",
  };
}
