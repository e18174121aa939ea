import type { PoolOptions } from "../kernels/pool-geometry.ts";
import { maxPool2d } from "../ops/max-pool.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { Module } from "./module.ts";

/** The largest value of each window; [N, C, H, W] to [N, C, P, Q]. */
export class MaxPool2d extends Module {
  readonly #options: PoolOptions;

  constructor(options: PoolOptions) {
    super();
    this.#options = options;
  }

  forward(x: Tensor): Tensor {
    return maxPool2d(x, this.#options);
  }
}
