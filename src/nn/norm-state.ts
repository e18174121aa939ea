import type { Tensor } from "../tensor/tensor.ts";

/** Statistics of all batch-norm layers; layer l has the channels from its `firstChannel` on. */
export interface NormState {
  /** [rows, channels, 2]: mean and biased variance of each ghost batch of the last step. */
  readonly statistics: Tensor;
  /** [channels] */
  readonly runningMean: Tensor;
  /** [channels], unbiased. */
  readonly runningVariance: Tensor;
  /** [channels] u32: pixels of one image in the channel's layer. */
  readonly pixels: Tensor;
  readonly channels: number;
}
