import type { Tensor } from "../tensor/tensor.ts";

/** Where an op writes the gradient of one input: `accumulate` adds to what is there. */
export interface Destination {
  readonly tensor: Tensor;
  readonly accumulate: boolean;
  /** A parameter's place, which nothing reads before the backward pass is through. */
  readonly ofParameter: boolean;
}

/** Gives the destination of an input's gradient, or null when it needs none. */
export type DestinationOf = (input: Tensor) => Destination | null;
