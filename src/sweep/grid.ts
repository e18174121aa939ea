/** A grid of runs: a YAML file that lists values of some options, and a run for each combination of them. */

import { loadModel } from "../host/node/model-file.ts";
import { modelLabel } from "../models/index.ts";
import { readYaml } from "../run/config-file.ts";
import { OptionError, readOptionLists, readOptions } from "../run/read-options.ts";
import type { RunOptionKey } from "../run/run-options.ts";
import { completeSpec, type RunSpec, type RunSpecInput } from "../run/run-spec.ts";
import { specHash } from "../run/spec-hash.ts";
import { suggestion } from "../support/closest.ts";
import { UsageError } from "../support/errors.ts";

/** One run of a grid. */
export interface GridRun {
  /** Name of its run folder: the grid's name, and what distinguishes the run. */
  readonly name: string;
  readonly spec: RunSpec;
}

export interface Grid {
  readonly name: string;
  readonly runs: readonly GridRun[];
}

interface GridFile {
  /** Prefix of the names of all run folders. */
  readonly name: string;
  /** Options of every run. */
  readonly base: RunSpecInput;
  /** Options with lists of values; there is a run for every combination. */
  readonly grid: Partial<Record<RunOptionKey, unknown[]>>;
}

/** The most runs; more are probably a mistake. */
const MOST_RUNS = 10_000;

/**
 * Reads a grid and completes the specification of every run.
 * @throws DataError if the file cannot be read; UsageError naming its line, or the invalid option of a run
 */
export async function readGrid(path: string): Promise<Grid> {
  const { name, base, grid } = await withModels(readYaml(path, readGridFile));
  const axes = Object.entries(grid);
  const count = axes.reduce((product, [, values]) => product * values.length, 1);
  if (count > MOST_RUNS)
    throw new UsageError(`${path}: the grid has ${count} runs; at most ${MOST_RUNS} are allowed`);
  const runs = combinations(axes).map((chosen): GridRun => {
    const spec = completeSpec({ ...base, ...chosen });
    return { name: runName(name, chosen, spec), spec };
  });
  const names = new Set<string>();
  for (const run of runs) {
    if (names.has(run.name)) throw new UsageError(`${path}: two runs of the grid are the same: ${run.name}`);
    names.add(run.name);
  }
  return { name, runs };
}

/** Loads networks from files. */
async function withModels({ name, base, grid }: GridFile): Promise<GridFile> {
  const model = base.model === undefined ? {} : { model: await loadModel(base.model) };
  const models =
    grid.model === undefined ? {} : { model: await Promise.all((grid.model as string[]).map(loadModel)) };
  return { name, base: { ...base, ...model }, grid: { ...grid, ...models } };
}

const GRID_KEYS = ["name", "base", "grid"];

function readGridFile(data: unknown): GridFile {
  if (typeof data !== "object" || data === null || Array.isArray(data))
    throw new OptionError("expected a grid: name, base and grid", []);
  const unknown = Object.keys(data).find((key) => !GRID_KEYS.includes(key));
  if (unknown !== undefined)
    throw new OptionError(`unknown key: ${suggestion(unknown, GRID_KEYS)}`, [unknown]);
  const { name, base, grid } = data as Record<string, unknown>;
  if (typeof name !== "string" || !/^\w[\w.-]{0,39}$/.test(name)) {
    const found = name === undefined ? "none" : JSON.stringify(name);
    throw new OptionError(`expected 1 to 40 letters, digits, and any of . _ -, found ${found}`, ["name"]);
  }
  return {
    name,
    base: readOptions(base ?? {}, { at: ["base"] }),
    grid: readOptionLists(grid ?? {}, { at: ["grid"] }),
  };
}

/** All combinations of one value per axis, the last axis varying fastest. */
function combinations(axes: readonly (readonly [string, readonly unknown[]])[]): Record<string, unknown>[] {
  return axes.reduce<Record<string, unknown>[]>(
    (chosen, [key, values]) =>
      chosen.flatMap((before) => values.map((value) => ({ ...before, [key]: value }))),
    [{}],
  );
}

/** grid-batchSize_64-seed_1; with a hash instead if that has other characters than letters, digits and . _ - */
function runName(grid: string, chosen: Readonly<Record<string, unknown>>, spec: RunSpec): string {
  const parts = Object.entries(chosen).map(
    ([key, value]) => `${key}_${modelLabel(String(value)).replace("e+", "e")}`,
  );
  const name = [grid, ...parts].join("-");
  return /^[\w.-]{1,100}$/.test(name) ? name : `${grid}-${specHash(spec)}`;
}
