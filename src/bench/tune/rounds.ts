/** How `ghostbatch tune` decides which of two candidates is faster: they run in turn, round by round. */
import { quantile } from "../../support/statistics.ts";

/** Rounds, each of which runs everything once: the minimum, and the maximum, which applies if time allows. */
export const ROUNDS = { least: 5, most: 25, ms: 1000 };

/** The least gain in the median that counts, as a share. */
const LEAST_GAIN = 0.03;

/**
 * Whether one is faster than another by more than chance: 3 % faster in the median, and faster in three of four rounds.
 * @param ratios its time divided by the other's, for each round
 */
export function isFaster(ratios: readonly number[]): boolean {
  return quantile(ratios, 0.5) <= 1 - LEAST_GAIN && quantile(ratios, 0.75) < 1;
}
