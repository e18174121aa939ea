/**
 * Compares wide kernels with matrix kernels, for each shape that both can run. What follows a convolution depends on its kernel: a norm
 * uses the moments that it wrote, and only the wide kernel of an input gradient can do part of the norm's work. So they are compared
 * inside the step, each together with the later dispatches that differ because of it.
 */
import type { Command } from "../../gpu/command.ts";
import type { Recording } from "../../gpu/recording.ts";
import { quantile } from "../../support/statistics.ts";
import { signatureOf } from "../capture.ts";
import { type Summary, summarize } from "../sample.ts";
import { isFaster, ROUNDS } from "./rounds.ts";

export interface ComparedVariants {
  /** Key of the matrix kernel's question. */
  readonly key: string;
  /** Number of launches of this shape in a step. */
  readonly launches: number;
  /** Time of all launches of this shape in a step, ms. */
  readonly ms: { readonly matrix: Summary; readonly wide: Summary };
  /** Median over rounds of the matrix kernels' time divided by the wide ones'. */
  readonly ratio: number;
  readonly winner: "matrix" | "wide";
}

interface Sides<T> {
  readonly matrix: T;
  readonly wide: T;
}

/**
 * @param steps    the same step on both kinds of kernels
 * @param keys     of the matrix kernels' questions
 * @param standard the variant that stays unless the other is clearly faster
 * @param enough   whether to stop after the minimum number of rounds
 */
export async function compareVariants(
  steps: Sides<Recording>,
  keys: readonly string[],
  standard: "matrix" | "wide",
  enough: () => boolean,
): Promise<ComparedVariants[]> {
  const places = placesOf(steps);
  const rounds: Sides<readonly number[]>[] = [];
  const profile = async (recording: Recording) => (await recording.profile()).map(({ ms }) => ms);
  await profile(steps.matrix); // the first run compiles on some drivers
  await profile(steps.wide);
  while (rounds.length < ROUNDS.least || (rounds.length < ROUNDS.most && !enough())) {
    if (rounds.length % 2 === 0) {
      const matrix = await profile(steps.matrix);
      rounds.push({ matrix, wide: await profile(steps.wide) });
    } else {
      const wide = await profile(steps.wide);
      rounds.push({ matrix: await profile(steps.matrix), wide });
    }
  }
  return keys.flatMap((key) => {
    const own = places.get(key);
    return own === undefined ? [] : [compared(key, own, rounds, standard)];
  });
}

function compared(
  key: string,
  places: readonly Sides<readonly number[]>[],
  rounds: readonly Sides<readonly number[]>[],
  standard: "matrix" | "wide",
): ComparedVariants {
  const timesOf = (side: keyof Sides<unknown>) => {
    const indices = places.flatMap((one) => one[side]);
    return rounds.map((times) => indices.reduce((sum, index) => sum + times[side][index]!, 0));
  };
  const [matrix, wide] = [timesOf("matrix"), timesOf("wide")];
  const ratios = matrix.map((ms, round) => ms / wide[round]!);
  const other = standard === "matrix" ? "wide" : "matrix";
  const toStandard = standard === "matrix" ? ratios.map((ratio) => 1 / ratio) : ratios;
  return {
    key,
    launches: places.length,
    ms: { matrix: summarize(matrix), wide: summarize(wide) },
    ratio: quantile(ratios, 0.5),
    winner: isFaster(toStandard) ? other : standard,
  };
}

/** For each key and each of its launches, the dispatches that differ, by their indices in the two steps. */
function placesOf({ matrix, wide }: Sides<Recording>): Map<string, Sides<readonly number[]>[]> {
  const commandsOf = ({ dispatches }: Recording) => dispatches.map(({ command }) => command);
  const [left, right] = [commandsOf(matrix), commandsOf(wide)];
  const [groups, others] = [groupsOf(left), groupsOf(right)];
  if (groups.length !== others.length)
    throw new Error(`a step has ${groups.length} tuned launches on matrices, but ${others.length} without`);
  const places = new Map<string, Sides<readonly number[]>[]>();
  for (const [index, { choice, members }] of groups.entries()) {
    const [one, other] = [[...members], [...others[index]!.members]];
    // Dispatches that are the same on both sides do not count.
    const same = () =>
      one.length > 1 &&
      other.length > 1 &&
      signatureOf([left[one.at(-1)!]!]) === signatureOf([right[other.at(-1)!]!]);
    while (same()) {
      one.pop();
      other.pop();
    }
    places.set(choice, [...(places.get(choice) ?? []), { matrix: one, wide: other }]);
  }
  return places;
}

/** The dispatches from each tuned launch to the next one. */
function groupsOf(commands: readonly Command[]): { choice: string; members: number[] }[] {
  const groups: { choice: string; members: number[]; files: Set<string> }[] = [];
  for (const [index, { kernel, launch }] of commands.entries()) {
    const { choice } = launch;
    const last = groups.at(-1);
    // A launch may be several dispatches, of different kernels.
    if (choice !== undefined && (choice !== last?.choice || last.files.has(kernel.file)))
      groups.push({ choice, members: [index], files: new Set([kernel.file]) });
    else {
      last?.members.push(index);
      last?.files.add(kernel.file);
    }
  }
  return groups;
}
