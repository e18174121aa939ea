import type { Gpu } from "../../gpu/gpu.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { StepUniform, type StepValues } from "../../train/step-uniform.ts";

/** The Step uniform of kernels that read it, with these values and zeros. */
export function stepUniform(gpu: Gpu, values: Partial<StepValues> = {}): Tensor {
  const zeros = { learningRate: 0, momentum: 0, weightDecay: 0, clipNorm: 0, seed: 0, epoch: 0, step: 0 };
  const step = new StepUniform(gpu);
  step.write({ ...zeros, firstSample: 0, ...values });
  return step.tensor;
}
