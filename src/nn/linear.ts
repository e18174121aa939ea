import { linear } from "../ops/linear.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { uniformWithin } from "./initialize.ts";
import { Module, Parameter } from "./module.ts";

/**
 * y = x · weightᵀ + bias; [N, inputs] to [N, outputs]. Initialised uniform in ±1/√inputs, as PyTorch does. The layer whose outputs
 * are the logits has `logits`: they are stored as f32 whatever the type of x.
 */
export class Linear extends Module {
  readonly weight: Parameter; // [outputs, inputs]
  readonly bias: Parameter | null; // [outputs]

  readonly #logits: boolean;

  constructor(
    inputs: number,
    outputs: number,
    { bias = true, logits = false }: { bias?: boolean; logits?: boolean } = {},
  ) {
    super();
    this.#logits = logits;
    const initialize = uniformWithin(1 / Math.sqrt(inputs));
    this.weight = new Parameter([outputs, inputs], initialize);
    this.bias = bias ? new Parameter([outputs], initialize) : null;
  }

  forward(x: Tensor): Tensor {
    const output = this.#logits ? "f32" : x.dtype;
    return linear(x, this.weight.value, this.bias?.value ?? null, { output });
  }
}
