/** A model of training on several ranks; nothing in it is measured. */
import { namedModules, parameterCount } from "../nn/module.ts";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatQuantity,
} from "../support/format.ts";
import { shardsOfRank, shareOf } from "../train/shards.ts";
import type { TrainingPlan } from "./dry-run.ts";
import type { PlannedRun } from "./plan-run.ts";

/** Operations per second of one GPU: what compiler output suggests that the wide kernels reach of an H100's 67 TFLOP/s in f32. */
const GPU_RATE = 25e12;
/** Seconds per byte from the GPU to the host and back: 0.40 ms per MB through PCIe 5 with two copies, assumed. */
const STAGING = 0.4e-9;
/** Default rate of the network between ranks, bytes per second: InfiniBand HDR. */
export const DEFAULT_LINK = 25e9;
/** Efficiency below which more GPUs do not pay. */
const WORTHWHILE = 0.5;

/** What each rank holds and sends, and how much of its time it spends on training. */
export interface RankPlan {
  readonly ranks: number;
  readonly shards: number;
  /** Images of a full batch on each rank. */
  readonly samples: readonly number[];
  /** Bytes that a rank sends per step; it receives as many. */
  readonly bytesPerStep: number;
  /** Seconds of a step on one GPU, and of a step's exchange on all. */
  readonly stepSeconds: number;
  readonly exchangeSeconds: number;
  /** Time of a step on one GPU, divided by the total time of all GPUs. */
  readonly efficiency: number;
  /** Bytes per second. */
  readonly link: number;
}

/**
 *   efficiency = t / (N · (t_slowest + staging · S + sent / link)),   sent = 2 (N − 1) / N · S + (N − 1) · statistics
 *
 * with t the time of a step on one GPU, t_slowest that of the largest rank's part, S the bytes of the gradient; nothing overlaps.
 */
export function planRanks(
  { model, epoch, spec }: PlannedRun,
  { flopsPerSample }: Pick<TrainingPlan, "flopsPerSample">,
  { ranks, link = DEFAULT_LINK }: { readonly ranks: number; readonly link?: number | undefined },
): RankPlan {
  const { shards } = spec;
  const layout = epoch.largest;
  const shares = Array.from({ length: ranks }, (_, rank) =>
    shareOf(layout, shardsOfRank(shards, { rank, size: ranks })),
  );
  const channels = namedModules(model).reduce(
    (sum, [, { state }]) => sum + (state?.kind === "statistics" ? state.channels : 0),
    0,
  );
  const gradient = 4 * parameterCount(model);
  const statistics = 8 * channels * Math.max(...shares.map(({ ghosts }) => ghosts));
  const bytesPerStep = ((2 * (ranks - 1)) / ranks) * gradient + (ranks - 1) * statistics;
  const samples = shares.map((share) => share.samples);
  const stepSeconds = (flopsPerSample * layout.total) / GPU_RATE;
  const exchangeSeconds = STAGING * gradient + bytesPerStep / link;
  const slowest = (stepSeconds * Math.max(...samples)) / layout.total;
  const efficiency = stepSeconds / (ranks * (slowest + exchangeSeconds));
  return { ranks, shards, samples, bytesPerStep, stepSeconds, exchangeSeconds, efficiency, link };
}

export function describeRanks(plan: RankPlan): string[] {
  const { ranks, shards, samples, bytesPerStep, stepSeconds, exchangeSeconds, efficiency, link } = plan;
  const [least, most] = [Math.min(...samples), Math.max(...samples)];
  const images = least === most ? formatCount(most) : `${formatCount(least)} to ${formatCount(most)}`;
  const advice =
    efficiency >= WORTHWHILE
      ? []
      : [
          `ranks do not pay here: a step takes one GPU about ${formatDuration(stepSeconds)}, and the exchange of a step about ${formatDuration(exchangeSeconds)}; use fewer, a larger batch, or a run for each GPU (ghostbatch sweep)`,
        ];
  return [
    `ranks        ${ranks} with ${shards / ranks} of ${shards} shards and ${images} images of a batch each; each sends and receives ${formatBytes(bytesPerStep)} in a step`,
    `efficiency   ${formatPercent(efficiency, 0)} of ${ranks} GPUs, by a model: ${GPU_RATE / 1e12} TFLOP/s for a GPU, ${formatQuantity(link, "B/s")} between ranks, ${STAGING * 1e9 * 1e3} ms a GB from and to the GPU, nothing at the same time`,
    ...advice,
  ];
}
