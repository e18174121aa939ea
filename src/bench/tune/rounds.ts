/** How `ghostbatch tune` decides which of two is faster: they run in turn, round by round. */
import { quantile } from "../../support/statistics.ts";

/** Rounds, of which each runs everything once; at least so many, and no more than fit into the time. */
export const ROUNDS = { least: 5, most: 25, ms: 1000 };

/** By this share in the median. */
const LEAST_GAIN = 0.03;

/**
 * Whether one is faster than another by more than chance: by 3 % in the median, and faster at all in three of four rounds.
 * @param ratios its time to the other's, of each round
 */
export function isFaster(ratios: readonly number[]): boolean {
  return quantile(ratios, 0.5) <= 1 - LEAST_GAIN && quantile(ratios, 0.75) < 1;
}
