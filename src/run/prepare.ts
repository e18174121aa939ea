/** Prepares everything that a run needs, before anything is on the GPU. */

import type { ImageDataset } from "../data/dataset.ts";
import { isStreamed } from "../data/dataset-forms.ts";
import type { StreamedDataset } from "../data/streamed.ts";
import { streamedSubset, subset } from "../data/subset.ts";
import { type LoadOptions, loadDataset, openDataset } from "../datasets/load.ts";
import { factsOf, type PlannedRun, planRun } from "./plan-run.ts";
import type { RunSpec } from "./run-spec.ts";

export interface PreparedRun extends PlannedRun {
  readonly dataset: ImageDataset | StreamedDataset;
}

const loaded = new Map<string, ImageDataset>();

/**
 * @throws UsageError if options contradict each other or the data; DataError if the data are missing or damaged
 */
export async function prepareRun(spec: RunSpec, options: LoadOptions = {}): Promise<PreparedRun> {
  const dataset = await datasetOf(spec, options);
  return { dataset, ...planRun(spec, factsOf(dataset)) };
}

/** A process reads each data set once; the cells of an experiment share it. */
async function datasetOf(
  { dataset: name, subset: part }: RunSpec,
  options: LoadOptions,
): Promise<ImageDataset | StreamedDataset> {
  if (isStreamed(name)) {
    const whole = openDataset(name, options);
    return part === null ? whole : streamedSubset(whole, part);
  }
  const place = [options.dataDir, options.baseDirectory];
  const wholeKey = JSON.stringify([name, ...place]);
  const whole = loaded.get(wholeKey) ?? (await loadDataset(name, options));
  loaded.set(wholeKey, whole);
  if (part === null) return whole;
  const key = JSON.stringify([name, ...place, part]);
  const selected = loaded.get(key) ?? subset(whole, part);
  loaded.set(key, selected);
  return selected;
}
