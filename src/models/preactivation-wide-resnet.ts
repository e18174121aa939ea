import { Conv2d } from "../nn/conv2d.ts";
import { GhostBatchNorm } from "../nn/ghost-batch-norm.ts";
import { Linear } from "../nn/linear.ts";
import { type Mode, Module, Sequential } from "../nn/module.ts";
import { add } from "../ops/add.ts";
import { globalAvgPool } from "../ops/global-avg-pool.ts";
import { UsageError } from "../support/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** x + conv(relu(bn(conv(relu(bn(x)))))); where width or stride changes, the shortcut is a 1×1 convolution of relu(bn(x)). */
class PreactivationBlock extends Module {
  readonly bn1: GhostBatchNorm;
  readonly conv1: Conv2d;
  readonly bn2: GhostBatchNorm;
  readonly conv2: Conv2d;
  readonly shortcut: Conv2d | null;

  constructor(inputs: number, outputs: number, stride: number) {
    super();
    this.bn1 = new GhostBatchNorm(inputs);
    this.conv1 = new Conv2d(inputs, outputs, { kernel: 3, stride, padding: 1, initialize: "he" });
    this.bn2 = new GhostBatchNorm(outputs);
    this.conv2 = new Conv2d(outputs, outputs, { kernel: 3, padding: 1, initialize: "he" });
    this.shortcut =
      stride === 1 && inputs === outputs
        ? null
        : new Conv2d(inputs, outputs, { kernel: 1, stride, initialize: "he" });
  }

  forward(x: Tensor, mode: Mode): Tensor {
    const active = this.bn1.forward(x, mode, { relu: true });
    const residual = this.shortcut?.forward(active) ?? x;
    const h = this.bn2.forward(this.conv1.forward(active), mode, { relu: true });
    return add(this.conv2.forward(h), residual);
  }
}

/**
 * WRN-depth-widen of Zagoruyko and Komodakis 2016: batch norm and ReLU before each convolution, a first convolution of
 * 16 channels, (depth − 4) / 6 blocks in each stage. 2,772,020 parameters for WRN-16-4 and 100 classes.
 */
export class PreactivationWideResNet extends Module {
  readonly conv1: Conv2d;
  readonly layer1: Sequential;
  readonly layer2: Sequential;
  readonly layer3: Sequential;
  readonly bn: GhostBatchNorm;
  readonly fc: Linear;

  /** @throws UsageError for a depth that is not 6·n + 4 */
  constructor({
    depth = 16,
    widen = 4,
    classes,
    channels = 3,
  }: { depth?: number; widen?: number; classes: number; channels?: number }) {
    super();
    const blocks = (depth - 4) / 6;
    if (!Number.isInteger(blocks) || blocks < 1)
      throw new UsageError(`wide resnet: a depth of ${depth} is not 6·n + 4`);
    const [narrow, middle, wide] = [16 * widen, 32 * widen, 64 * widen] as const;
    const stage = (inputs: number, outputs: number, stride: number) =>
      new Sequential(
        Array.from(
          { length: blocks },
          (_, i) => new PreactivationBlock(i ? outputs : inputs, outputs, i ? 1 : stride),
        ),
      );
    this.conv1 = new Conv2d(channels, 16, { kernel: 3, padding: 1, initialize: "he" });
    this.layer1 = stage(16, narrow, 1);
    this.layer2 = stage(narrow, middle, 2);
    this.layer3 = stage(middle, wide, 2);
    this.bn = new GhostBatchNorm(wide);
    this.fc = new Linear(wide, classes, { logits: true });
  }

  /** [N, channels, H, W] images to [N, classes] logits. */
  forward(x: Tensor, mode: Mode): Tensor {
    let h = this.conv1.forward(x);
    for (const layer of [this.layer1, this.layer2, this.layer3]) h = layer.forward(h, mode);
    return this.fc.forward(globalAvgPool(this.bn.forward(h, mode, { relu: true })));
  }
}
