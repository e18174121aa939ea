/** What training on several ranks would take, by a model: nothing of it is measured. */
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

/** Operations a second of one GPU: about what the wide kernels may reach of an H100's 67 TFLOP/s in f32, by their compilers. */
const GPU_RATE = 25e12;
/** Seconds for a byte from the GPU to the host and back again: 0.40 ms a MB through PCIe 5 and two copies, assumed. */
const STAGING = 0.4e-9;
/** Bytes a second of the network between ranks, if it is not named: InfiniBand HDR. */
export const DEFAULT_LINK = 25e9;
/** Share of the GPUs' time below which more of them do not pay. */
const WORTHWHILE = 0.5;

/** What each rank holds and sends, and how much of its time it would train. */
export interface RankPlan {
  readonly ranks: number;
  readonly shards: number;
  /** Of a full batch, for each rank. */
  readonly samples: readonly number[];
  /** Bytes that a rank sends in a step, and as many that it receives. */
  readonly bytesPerStep: number;
  /** Seconds of a step on one GPU, and of the exchange of a step on all. */
  readonly stepSeconds: number;
  readonly exchangeSeconds: number;
  /** Time of a step on one GPU over that of all GPUs together. */
  readonly efficiency: number;
  /** Bytes a second. */
  readonly link: number;
}

/**
 *   efficiency = t / (N · (t_slowest + staging · S + sent / link)),   sent = 2 (N − 1) / N · S + (N − 1) · statistics
 *
 * t the time of a step on one GPU, t_slowest that of the largest share of it, S the bytes of the gradient; nothing overlaps.
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
