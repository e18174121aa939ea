import { GhostBatchNorm } from "../nn/ghost-batch-norm.ts";
import { Linear } from "../nn/linear.ts";
import { type Mode, Module, Relu, Sequential } from "../nn/module.ts";
import { flatten } from "../ops/flatten.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface F1Options {
  /** Values per image: 784 for MNIST. */
  readonly inputs?: number;
  readonly classes?: number;
  /** Units in a hidden layer. */
  readonly width?: number;
  /** Hidden layers. */
  readonly hidden?: number;
  /** "ones", or "uniform" for U(0, 1), PyTorch's default when the paper was written. */
  readonly gamma?: "ones" | "uniform";
}

/**
 * F1 (Keskar et al. 2017, Appendix; Hoffer et al. 2017, Table 1): five hidden layers of 512 units for MNIST, each
 * linear, batch norm, ReLU, then a linear layer to the classes. 1,462,794 parameters at the paper's size.
 */
export class F1 extends Module {
  readonly layers: Sequential;

  constructor({ inputs = 784, classes = 10, width = 512, hidden = 5, gamma = "ones" }: F1Options = {}) {
    super();
    const layers: Module[] = [];
    let from = inputs;
    for (let i = 0; i < hidden; i++) {
      layers.push(new Linear(from, width), new GhostBatchNorm(width, { gamma }), new Relu());
      from = width;
    }
    this.layers = new Sequential([...layers, new Linear(from, classes, { logits: true })]);
  }

  /** [N, C, H, W] images to [N, classes] logits. */
  forward(x: Tensor, mode: Mode): Tensor {
    return this.layers.forward(flatten(x), mode);
  }
}
