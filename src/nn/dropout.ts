import { dropout } from "../ops/dropout.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { type Mode, Module } from "./module.ts";
import type { MaskState } from "./norm-state.ts";

/** Zeroes values with a probability in training and scales the others up; the identity in evaluation. */
export class Dropout extends Module {
  #layer = 0;
  readonly #probability: number;

  constructor(probability: number) {
    super();
    this.#probability = probability;
  }

  override get state(): MaskState {
    const place = (layer: number) => {
      this.#layer = layer;
    };
    return { kind: "mask", place };
  }

  forward(x: Tensor, mode: Mode): Tensor {
    if (mode.kind === "eval") return x;
    const { step, firstSample } = mode;
    return dropout(x, step, { probability: this.#probability, layer: this.#layer, firstSample });
  }
}
