/** A recorded race, for browsers that cannot run one: made by scripts/record-race.ts from real runs. */
import { COLUMNS, type Column } from "../paper/columns.ts";
import recorded from "./recorded-race.json";
import { DEFAULTS, raceSpec } from "./settings.ts";
import { CURVES, type Tracks, tracksUntil } from "./tracks.ts";

export interface RecordedRace {
  /** The adapter that the runs were made on. */
  readonly adapter: string;
  readonly version: string;
  readonly seed: number;
  readonly totalSteps: Readonly<Record<Column, number>>;
  readonly tracks: Readonly<Record<Column, Tracks>>;
}

export const RECORDED_RACE: RecordedRace = { ...recorded, tracks: withSamples() };

/** Every batch of these runs is whole, so the samples follow from the steps. */
function withSamples(): Record<Column, Tracks> {
  const tracksOf = (column: Column) => {
    const { batchSize } = raceSpec(DEFAULTS, column);
    const curves = CURVES.map((curve) => {
      const { steps, values } = recorded.tracks[column][curve];
      return [curve, { steps, values, samples: steps.map((step) => step * batchSize) }];
    });
    return Object.fromEntries(curves) as Tracks;
  };
  return Object.fromEntries(COLUMNS.map((column) => [column, tracksOf(column)])) as Record<Column, Tracks>;
}

/** Duration of the replay on the page, ms. */
const DURATION = 10_000;

/**
 * Plays the recording. Steps advance as on a logarithmic axis, so that the beginning is visible.
 * @param show receives the number of steps so far and the curves up to there, once per frame
 * @returns a function that ends it early
 */
export function playRecording(
  show: (steps: number, tracks: Readonly<Record<Column, Tracks>>) => void,
  onEnd: () => void,
): () => void {
  const { tracks, totalSteps } = RECORDED_RACE;
  const last = Math.max(...Object.values(totalSteps));
  const until = (step: number) =>
    Object.fromEntries(
      Object.entries(tracks).map(([column, own]) => [column, tracksUntil(own, step)]),
    ) as Record<Column, Tracks>;
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const begin = performance.now();
  let frame = requestAnimationFrame(draw);
  return () => cancelAnimationFrame(frame);

  function draw(now: number): void {
    const share = isStill ? 1 : Math.min(1, Math.max(0, (now - begin) / DURATION));
    const step = Math.round(last ** share);
    show(step, until(step));
    if (share < 1) frame = requestAnimationFrame(draw);
    else onEnd();
  }
}
