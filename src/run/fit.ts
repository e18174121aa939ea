/** Finds the runs of a list that do not fit an adapter before the first one begins. */
import type { LoadOptions } from "../datasets/load.ts";
import type { Gpu } from "../gpu/gpu.ts";
import { CapacityError } from "../support/errors.ts";
import { dataFactsOf } from "./cost.ts";
import { outlinedData, planTraining } from "./dry-run.ts";
import { planRun } from "./plan-run.ts";
import type { RunSpec } from "./run-spec.ts";

/** Why each run cannot start on this adapter; null if it can. Runs whose steps have the same shapes are planned once. */
export async function refusalsOf(
  gpu: Gpu,
  specs: readonly RunSpec[],
  load: LoadOptions,
): Promise<(string | null)[]> {
  const found = new Map<string, string | null>();
  const refusals: (string | null)[] = [];
  for (const spec of specs) {
    const shapes = shapesOf(spec);
    const refusal = found.get(shapes) ?? (await refusalOf(gpu, spec, load));
    found.set(shapes, refusal);
    refusals.push(refusal);
  }
  return refusals;
}

/** The options that affect the plan of a step: all but seed, rates and length, unless the batch grows. */
function shapesOf(spec: RunSpec): string {
  const { seed, learningRateRule, learningRate, regime, warmupSteps, evaluateEvery, ...shapes } = spec;
  return JSON.stringify(spec.batchGrowth ? spec : shapes);
}

async function refusalOf(gpu: Gpu, spec: RunSpec, load: LoadOptions): Promise<string | null> {
  const facts = await dataFactsOf(spec, load);
  const data = outlinedData(spec) ?? { facts, bytes: 0 }; // bytes of images are only reported
  try {
    return planTraining(gpu, planRun(spec, facts), data).refused[0] ?? null;
  } catch (error) {
    if (!(error instanceof CapacityError)) throw error;
    return error.message;
  }
}
