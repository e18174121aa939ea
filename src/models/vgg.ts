import { Conv2d } from "../nn/conv2d.ts";
import { Dropout } from "../nn/dropout.ts";
import { GhostBatchNorm } from "../nn/ghost-batch-norm.ts";
import { Linear } from "../nn/linear.ts";
import { MaxPool2d } from "../nn/max-pool.ts";
import { type Mode, Module, Relu, Sequential } from "../nn/module.ts";
import { flatten } from "../ops/flatten.ts";
import { UsageError } from "../support/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Output channels of the convolutions in each group, as multiples of the first; each group ends with 2×2 pooling. */
const GROUPS = [
  [1, 1],
  [2, 2],
  [4, 4, 4],
  [8, 8, 8],
  [8, 8, 8],
];

export interface VggOptions {
  readonly classes: number;
  readonly channels?: number;
  /** Channels of the first group. */
  readonly width?: number;
  /** The most convolutions in a group. */
  readonly hidden?: number;
}

/**
 * VGG for 32×32 images: the 16-layer network of Simonyan and Zisserman 2015 with batch norm and dropout in the form of
 * Zagoruyko's CIFAR version, which is Keskar's C2. 14,991,946 parameters for 10 classes. Dropout is 0.3 after the first
 * convolution, 0.4 after every other one that does not end its group, 0.5 around the hidden linear layer.
 */
export class Vgg extends Module {
  readonly features: Sequential;
  readonly classifier: Sequential;

  constructor({ classes, channels = 3, width = 64, hidden = 3 }: VggOptions) {
    super();
    const features: Module[] = [];
    let inputs = channels;
    for (const [group, all] of GROUPS.entries()) {
      const widths = all.slice(0, hidden);
      for (const [i, factor] of widths.entries()) {
        const outputs = factor * width;
        const options = { kernel: 3, padding: 1, bias: true, initialize: "he" } as const;
        features.push(new Conv2d(inputs, outputs, options), new GhostBatchNorm(outputs), new Relu());
        if (i < widths.length - 1) features.push(new Dropout(group === 0 ? 0.3 : 0.4));
        inputs = outputs;
      }
      features.push(new MaxPool2d({ kernel: 2, stride: 2 }));
    }
    this.features = new Sequential(features);
    this.classifier = new Sequential([
      new Dropout(0.5),
      new Linear(8 * width, 8 * width),
      new GhostBatchNorm(8 * width),
      new Relu(),
      new Dropout(0.5),
      new Linear(8 * width, classes, { logits: true }),
    ]);
  }

  /** [N, channels, 32, 32] images to [N, classes] logits. */
  forward(x: Tensor, mode: Mode): Tensor {
    if (x.shape[2] !== 32 || x.shape[3] !== 32) {
      throw new UsageError(`vgg needs images of 32×32 pixels, these have ${x.shape[2]}×${x.shape[3]}`);
    }
    return this.classifier.forward(flatten(this.features.forward(x, mode)), mode);
  }
}
