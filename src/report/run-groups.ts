/** Groups runs by their options: those that differ only in the seed are one setting. */
import type { RunData } from "../storage/read-run.ts";
import type { ExperimentRecord } from "./experiment-record.ts";
import type { RunGroup } from "./series.ts";

/** Options in which runs of one setting may differ. */
const FREE = ["seed"];

/** Options in which configurations differ, with their values as JSON. */
export function differences(runs: readonly RunData[]): Map<string, readonly string[]> {
  const keys = new Set(runs.flatMap(({ configuration }) => Object.keys(configuration)));
  const found = new Map<string, readonly string[]>();
  for (const key of keys) {
    if (FREE.includes(key)) continue;
    const values = new Set(runs.map(({ configuration }) => JSON.stringify(configuration[key] ?? null)));
    if (values.size > 1) found.set(key, [...values]);
  }
  return found;
}

/** Why the runs must not be averaged: the first option in which they differ; null if they agree. */
export function difference(runs: readonly RunData[]): string | null {
  const [first, ...others] = runs;
  for (const other of others) {
    for (const [key, [a, b]] of differences([first!, other]))
      return `${key} is ${a} in ${first!.name} and ${b} in ${other.name}`;
  }
  return null;
}

/** A warning if averaged runs were made on different adapters; else null. */
export function adapterWarning(runs: readonly RunData[]): string | null {
  const adapters = adaptersOf(runs);
  if (adapters.length < 2) return null;
  const named = runs.map((run) => `${run.name} on ${adaptersOf([run])[0]}`).join(", ");
  return `the averaged runs are from different adapters; their results differ by rounding and their times are not comparable: ${named}`;
}

/** A warning if a seed occurs twice: such runs repeat one run, and their spread is not one over seeds. */
export function seedWarning(runs: readonly RunData[]): string | null {
  const seeds = runs.map(({ configuration }) => configuration["seed"]);
  const twice = seeds.find((seed, i) => seeds.indexOf(seed) < i);
  return twice === undefined ? null : `seed ${twice} occurs more than once: n counts runs, not seeds`;
}

export function adaptersOf(runs: readonly RunData[]): string[] {
  return [...new Set(runs.map(({ environment }) => environment.adapter?.name ?? "unknown adapter"))];
}

/** @param records experiments of the same folder, which have a run's scale and the paper's number */
export function groupRuns(runs: readonly RunData[], records: readonly ExperimentRecord[]): RunGroup[] {
  const groups: RunData[][] = [];
  for (const run of runs) {
    const group = groups.find(([first]) => differences([first!, run]).size === 0);
    if (group) group.push(run);
    else groups.push([run]);
  }
  const names = shortNames(groups.map((group) => group.map(({ name }) => name)));
  return groups.map((loaded, i) => ({ name: names[i]!, loaded, ...placeOf(loaded, records) }));
}

function placeOf(runs: readonly RunData[], records: readonly ExperimentRecord[]) {
  const places = records.flatMap(({ scale, series }) =>
    series
      .filter((entry) => runs.every(({ name }) => entry.runs.includes(name)))
      .map(({ paper }) => ({ scale, paper })),
  );
  return {
    scale: places[0]?.scale ?? null,
    paper: places.find(({ paper }) => paper !== null)?.paper ?? null,
  };
}

/** Names for a legend: without hashes, seeds of several runs, or common beginnings and ends; full names if they would be ambiguous. */
function shortNames(groups: readonly (readonly string[])[]): string[] {
  const bare = groups.map((names) => {
    const [first, ...others] = names.map((name) => name.replace(/-[0-9a-f]{12}$/, ""));
    if (others.length === 0) return first!;
    const setting = first!.replace(/-seed\d+$/, "");
    const same = others.every((name) => name.replace(/-seed\d+$/, "") === setting);
    return same ? setting : `${first} + ${others.length} more`;
  });
  if (bare.length === 1) return bare;
  if (new Set(bare).size < bare.length) return groups.map((names) => names.join(" + "));
  const withoutStart = withoutShared(bare.map((name) => name.split("-")));
  const withoutEnd = withoutShared(withoutStart.map((words) => words.toReversed()));
  return withoutEnd.map((words) => words.toReversed().join("-"));
}

/** Removes the words with which all lists begin; each keeps at least one. */
function withoutShared(lists: readonly (readonly string[])[]): (readonly string[])[] {
  const [first] = lists;
  const shortest = Math.min(...lists.map(({ length }) => length));
  let shared = 0;
  while (shared < shortest - 1 && lists.every((words) => words[shared] === first![shared])) shared++;
  return lists.map((words) => words.slice(shared));
}
