/**
 * Your own network for the command line: `ghostbatch train --model examples/own-model.ts`. The default export creates it for the
 * images of any data set; `image` and `regime` are optional. The file may import only "ghostbatch" and files beside it.
 */
import {
  Conv2d,
  flatten,
  GhostBatchNorm,
  type ImageFacts,
  Linear,
  MaxPool2d,
  type Mode,
  Module,
  type Tensor,
} from "ghostbatch";

class SmallNetwork extends Module {
  conv: Conv2d;
  norm = new GhostBatchNorm(8);
  pool = new MaxPool2d({ kernel: 2, stride: 2 });
  classifier: Linear;

  constructor({ channels, height, width, classes }: ImageFacts) {
    super();
    this.conv = new Conv2d(channels, 8, { kernel: 5, stride: 2, padding: 2 }); // halves height and width, as the pool does
    const pixels = (side: number) => Math.floor(Math.ceil(side / 2) / 2);
    this.classifier = new Linear(8 * pixels(height) * pixels(width), classes, { logits: true });
  }

  /** [N, C, H, W] images to [N, classes] logits. */
  forward(x: Tensor, mode: Mode): Tensor {
    const h = this.norm.forward(this.conv.forward(x), mode, { relu: true });
    return this.classifier.forward(flatten(this.pool.forward(h)));
  }
}

export default (image: ImageFacts) => new SmallNetwork(image);

/** The size of images for `bench step` and `tune`, which need no data. */
export const image: ImageFacts = { channels: 1, height: 28, width: 28, classes: 10 };

/** The regime of `train` unless --base-regime names another: the batch size that the rates were chosen for, and rates by epoch. */
export const regime = {
  batchSize: 64,
  epochs: 4,
  entries: [
    { epoch: 0, learningRate: 0.05, momentum: 0.9, weightDecay: 1e-4 },
    { epoch: 3, learningRate: 0.005 },
  ],
};
