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

/** Interface of a layer with batch statistics: its tensors, and how to set where the statistics are stored. */
export interface NormStatistics {
  readonly kind: "statistics";
  readonly channels: number;
  /** Added to the variance. */
  readonly eps: number;
  /** Position of its channels among those of all layers. */
  readonly firstChannel: number;
  /** Pixels of one image at this layer, known after the first forward pass. */
  readonly pixels: number;
  place(state: NormState, firstChannel: number): void;
}

/** Interface of a layer that draws random masks, and how to set which ones. */
export interface MaskState {
  readonly kind: "mask";
  /** @param layer position among the layers with masks: each draws different numbers */
  place(layer: number): void;
}

/** State of a module beside its parameters, shared with other modules of its network. */
export type ModuleState = NormStatistics | MaskState;
