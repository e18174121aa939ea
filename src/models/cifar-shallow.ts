import { Conv2d } from "../nn/conv2d.ts";
import { Dropout } from "../nn/dropout.ts";
import { GhostBatchNorm } from "../nn/ghost-batch-norm.ts";
import { Linear } from "../nn/linear.ts";
import { MaxPool2d } from "../nn/max-pool.ts";
import { type Mode, Module, Relu, Sequential } from "../nn/module.ts";
import { flatten } from "../ops/flatten.ts";
import { UsageError } from "../support/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface CifarShallowOptions {
  readonly classes: number;
  readonly channels?: number;
  /** Initial gamma of batch norm: ones, or U(0, 1), PyTorch's default before 1.2. */
  readonly gamma?: "ones" | "uniform";
  /**
   * "released": convolution, pooling without padding (32 → 15 → 7), batch norm, ReLU, no biases. "keskar": biases,
   * convolution, batch norm, ReLU, then pooling of stride 2 that pads (32 → 16 → 8).
   */
  readonly topology?: "released" | "keskar";
  /** Channels of the convolutions. */
  readonly width?: number;
}

/**
 * C1 (10 classes) and C3 (100 classes) of Keskar et al. 2017: two 5×5 convolutions of 64 channels with pooling, linear
 * layers of 384 and 192 units with dropout, for 32×32 images. As the paper's authors released them: 1,388,490 and
 * 1,405,860 parameters; Keskar's own: 1,757,834 and 1,775,204.
 */
export class CifarShallow extends Module {
  readonly features: Sequential;
  readonly classifier: Sequential;

  constructor({
    classes,
    channels = 3,
    gamma = "ones",
    topology = "released",
    width = 64,
  }: CifarShallowOptions) {
    super();
    const released = topology === "released";
    const bias = !released;
    const conv = (inputs: number) => new Conv2d(inputs, width, { kernel: 5, padding: 2, bias });
    const norm = (size: number) => new GhostBatchNorm(size, { gamma });
    const pool = () => new MaxPool2d({ kernel: 3, stride: 2, padding: released ? 0 : 1 });
    const stage = (inputs: number) =>
      released
        ? [conv(inputs), pool(), norm(width), new Relu()]
        : [conv(inputs), norm(width), new Relu(), pool()];
    const flat = width * (released ? 7 * 7 : 8 * 8);
    this.features = new Sequential([...stage(channels), ...stage(width)]);
    this.classifier = new Sequential([
      new Linear(flat, 384, { bias }),
      norm(384),
      new Relu(),
      new Dropout(0.5),
      new Linear(384, 192, { bias }),
      norm(192),
      new Relu(),
      new Dropout(0.5),
      new Linear(192, classes, { logits: true }),
    ]);
  }

  /** [N, channels, 32, 32] images to [N, classes] logits. */
  forward(x: Tensor, mode: Mode): Tensor {
    if (x.shape[2] !== 32 || x.shape[3] !== 32) {
      throw new UsageError(`c1 and c3 need images of 32×32 pixels, these have ${x.shape[2]}×${x.shape[3]}`);
    }
    return this.classifier.forward(flatten(this.features.forward(x, mode)), mode);
  }
}
