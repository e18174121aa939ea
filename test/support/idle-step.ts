import type { StepValues } from "../../src/train/step-uniform.ts";

/** Values of a step at rate 0, without momentum, decay or clipping: tests set only the values that they use. */
export const IDLE_STEP: StepValues = {
  learningRate: 0,
  momentum: 0,
  weightDecay: 0,
  clipNorm: 0,
  seed: 0,
  epoch: 0,
  step: 0,
  firstSample: 0,
};
