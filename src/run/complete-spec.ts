import { modelEntry } from "../models/index.ts";
import { UsageError } from "../support/errors.ts";
import { BASE_REGIMES, type BaseRegimeName } from "../train/base-regimes.ts";
import { RunSpec, type RunSpecInput } from "./run-spec.ts";

/**
 * A whole specification from the options that were given: F1 on MNIST at a batch of 128, by the model's own regime.
 * @param nameOf how the user knows a key of the specification, e.g. as an option
 * @throws UsageError naming the option that is wrong
 */
export function completeSpec(
  given: Partial<RunSpecInput>,
  nameOf: (key: string) => string = (key) => key,
): RunSpec {
  const merged = { dataset: "mnist", model: "f1", batchSize: 128, ...given };
  const baseRegime = merged.baseRegime ?? modelEntry(merged.model).regime;
  const referenceBatchSize = BASE_REGIMES[baseRegime as BaseRegimeName].batchSize;
  const result = RunSpec.safeParse({ baseRegime, referenceBatchSize, ...merged });
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  const [key = "", ...rest] = issue.path.map(String);
  const value = JSON.stringify((merged as Record<string, unknown>)[key]);
  throw new UsageError(`${[nameOf(key), ...rest].join(".")} ${value}: ${issue.message}`);
}
