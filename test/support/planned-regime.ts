/** Regimes of the paper's rows, planned for tests. */

import type { BaseRegime } from "../../src/train/base-regimes.ts";
import { stepsPerEpoch } from "../../src/train/ghosts.ts";
import { hyperparametersAt, planRegime, type Regime, type RegimeOptions } from "../../src/train/regime.ts";

export const SAMPLES = { mnist: 60_000, cifar: 50_000, imagenet: 1_281_167 };

/** A run of one of the paper's rows, with partial last batches kept. */
export function plan(base: BaseRegime, samples: number, options: Partial<RegimeOptions>): Regime {
  const { batchSize = base.batchSize, referenceBatchSize = base.batchSize } = options;
  const steps = (size: number) => stepsPerEpoch({ samples, batchSize: size, policy: "authors" });
  return planRegime({
    base,
    batchSize,
    referenceBatchSize,
    stepsPerEpoch: steps(batchSize),
    referenceStepsPerEpoch: steps(referenceBatchSize),
    ...options,
  });
}

/** The learning rate on both sides of each change, as [epoch, rate] with epochs of the run. */
export function ratesAt(regime: Regime, epochs: number[]): number[] {
  return epochs.map((epoch) => hyperparametersAt(regime, epoch * regime.stepsPerEpoch).learningRate);
}
