import { Conv2d } from "../nn/conv2d.ts";
import { Dropout } from "../nn/dropout.ts";
import { GhostBatchNorm } from "../nn/ghost-batch-norm.ts";
import { Linear } from "../nn/linear.ts";
import { MaxPool2d } from "../nn/max-pool.ts";
import { type Mode, Module, Relu, Sequential } from "../nn/module.ts";
import { flatten } from "../ops/flatten.ts";
import { UsageError } from "../support/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * AlexNet in the "one weird trick" form of Krizhevsky 2014 with batch norm, for 224×224 images, as the paper's authors
 * released it: 61,110,184 parameters for 1000 classes. Batch norm comes before the ReLU after the first pooling;
 * elsewhere in the features, after the ReLU. `width` is the number of units of the hidden linear layers.
 */
export class AlexNet extends Module {
  readonly features: Sequential;
  readonly classifier: Sequential;

  constructor({
    classes,
    channels = 3,
    width = 4096,
    gamma = "ones",
  }: { classes: number; channels?: number; width?: number; gamma?: "ones" | "uniform" }) {
    super();
    const norm = (size: number) => new GhostBatchNorm(size, { gamma });
    const pool = () => new MaxPool2d({ kernel: 3, stride: 2 });
    this.features = new Sequential([
      new Conv2d(channels, 64, { kernel: 11, stride: 4, padding: 2 }),
      pool(),
      norm(64),
      new Relu(),
      new Conv2d(64, 192, { kernel: 5, padding: 2 }),
      pool(),
      new Relu(),
      norm(192),
      new Conv2d(192, 384, { kernel: 3, padding: 1 }),
      new Relu(),
      norm(384),
      new Conv2d(384, 256, { kernel: 3, padding: 1 }),
      new Relu(),
      norm(256),
      new Conv2d(256, 256, { kernel: 3, padding: 1 }),
      pool(),
      new Relu(),
      norm(256),
    ]);
    this.classifier = new Sequential([
      new Linear(256 * 6 * 6, width, { bias: false }),
      norm(width),
      new Relu(),
      new Dropout(0.5),
      new Linear(width, width, { bias: false }),
      norm(width),
      new Relu(),
      new Dropout(0.5),
      new Linear(width, classes, { logits: true }),
    ]);
  }

  /** [N, channels, 224, 224] images to [N, classes] logits. */
  forward(x: Tensor, mode: Mode): Tensor {
    if (x.shape[2] !== 224 || x.shape[3] !== 224) {
      throw new UsageError(`alexnet needs images of 224×224 pixels, these have ${x.shape[2]}×${x.shape[3]}`);
    }
    return this.classifier.forward(flatten(this.features.forward(x, mode)), mode);
  }
}
