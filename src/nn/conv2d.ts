import { addChannelBias } from "../ops/channel-bias.ts";
import { conv2d } from "../ops/conv2d.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { constant, normal, uniformWithin } from "./initialize.ts";
import { Module, Parameter } from "./module.ts";

export interface Conv2dModuleOptions {
  /** Side of the square filter, pixels. */
  readonly kernel: number;
  readonly stride?: number;
  readonly padding?: number;
  readonly bias?: boolean;
  /**
   * "he": normal with deviation √(2 / (kernel² · outputs)), He et al. 2015, as the paper's residual networks take it,
   * a bias of 0; "uniform": ±1/√(inputs · kernel²), PyTorch's default.
   */
  readonly initialize?: "he" | "uniform";
}

/** Convolution of [N, inputs, H, W] to [N, outputs, P, Q]. */
export class Conv2d extends Module {
  readonly weight: Parameter; // [outputs, inputs, kernel, kernel]
  readonly bias: Parameter | null; // [outputs]
  readonly #stride: number;
  readonly #padding: number;

  constructor(inputs: number, outputs: number, options: Conv2dModuleOptions) {
    super();
    const { kernel, stride = 1, padding = 0, bias = false, initialize = "uniform" } = options;
    const within = uniformWithin(1 / Math.sqrt(inputs * kernel ** 2));
    const he = initialize === "he";
    this.weight = new Parameter(
      [outputs, inputs, kernel, kernel],
      he ? normal(Math.sqrt(2 / (kernel ** 2 * outputs))) : within,
    );
    this.bias = bias ? new Parameter([outputs], he ? constant(0) : within) : null;
    this.#stride = stride;
    this.#padding = padding;
  }

  forward(x: Tensor): Tensor {
    const y = conv2d(x, this.weight.value, { stride: this.#stride, padding: this.#padding });
    return this.bias ? addChannelBias(y, this.bias.value) : y;
  }
}
