import type { Tensor } from "../tensor/tensor.ts";

/** Where an op writes the gradient of one input; `accumulate` adds to the present contents. */
export interface Destination {
  readonly tensor: Tensor;
  readonly accumulate: boolean;
  /** A parameter's gradient, which nothing reads before the end of the backward pass. */
  readonly ofParameter: boolean;
}

/**
 * Returns the destination of an input's gradient, or null if it needs none.
 *
 * @param options.inPlace whether it may be the memory of the incoming gradient, which the op then no longer needs: it is where the tape
 *   made that memory and the input has no gradient yet
 */
export type DestinationOf = (input: Tensor, options?: { readonly inPlace?: boolean }) => Destination | null;
