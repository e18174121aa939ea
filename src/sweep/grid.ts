/** A grid of runs: a YAML file that names some options with many values, and the runs of all their combinations. */

import { z } from "zod";
import { completeSpec } from "../run/complete-spec.ts";
import { readYaml } from "../run/config-file.ts";
import { RunSpec, type RunSpecInput } from "../run/run-spec.ts";
import { specHash } from "../run/spec-hash.ts";
import { UsageError } from "../support/errors.ts";

const shapes = Object.entries(RunSpec.shape) as [string, z.ZodType][];

const GridFile = z.strictObject({
  /** First part of the names of all run folders. */
  name: z.string().regex(/^\w[\w.-]{0,39}$/, "expected 1 to 40 letters, digits, and any of . _ -"),
  /** Options of every run. */
  base: RunSpec.partial().default({} as never),
  /** Options with all their values; a run for every combination. */
  grid: z
    .strictObject(Object.fromEntries(shapes.map(([key, shape]) => [key, z.array(shape).min(1).optional()])))
    .default({}),
});

/** One run of a grid. */
export interface GridRun {
  /** Of its run folder: the grid's name and what tells it from the others. */
  readonly name: string;
  readonly spec: RunSpec;
}

export interface Grid {
  readonly name: string;
  readonly runs: readonly GridRun[];
}

/** More runs than anybody means: a range written by mistake. */
const MOST_RUNS = 10_000;

/**
 * Reads a grid and completes the specification of every run.
 * @throws DataError when the file cannot be read; UsageError naming its line, or the option of a run that is wrong
 */
export function readGrid(path: string): Grid {
  const { value, checked } = readYaml(path, GridFile);
  // As written, without the defaults that the schema filled in: the model decides some of them.
  const { base = {}, grid = {} } = value as {
    base?: Partial<RunSpecInput>;
    grid?: Record<string, unknown[]>;
  };
  const axes = Object.entries(grid);
  const count = axes.reduce((product, [, values]) => product * values.length, 1);
  if (count > MOST_RUNS)
    throw new UsageError(`${path}: the grid has ${count} runs; ${MOST_RUNS} is the most`);
  const runs = combinations(axes).map((chosen): GridRun => {
    const spec = completeSpec({ ...base, ...chosen });
    return { name: runName(checked.name, chosen, spec), spec };
  });
  const names = new Set<string>();
  for (const { name } of runs) {
    if (names.has(name)) throw new UsageError(`${path}: two runs of the grid are the same: ${name}`);
    names.add(name);
  }
  return { name: checked.name, runs };
}

/** Every choice of one value for each axis, the last axis fastest. */
function combinations(axes: readonly (readonly [string, readonly unknown[]])[]): Record<string, unknown>[] {
  return axes.reduce<Record<string, unknown>[]>(
    (chosen, [key, values]) =>
      chosen.flatMap((before) => values.map((value) => ({ ...before, [key]: value }))),
    [{}],
  );
}

/** grid-batchSize=64,seed=1, or with a hash where that is no name of a folder. */
function runName(grid: string, chosen: Readonly<Record<string, unknown>>, spec: RunSpec): string {
  const text = Object.entries(chosen).map(([key, value]) => `${key}=${value}`);
  const name = [grid, ...(text.length > 0 ? [text.join()] : [])].join("-");
  return /^[\w.+=@,-]{1,100}$/.test(name) ? name : `${grid}-${specHash(spec)}`;
}
