import { Conv2d } from "../nn/conv2d.ts";
import { GhostBatchNorm } from "../nn/ghost-batch-norm.ts";
import { Linear } from "../nn/linear.ts";
import { type Mode, Module, Sequential } from "../nn/module.ts";
import { globalAvgPool } from "../ops/global-avg-pool.ts";
import { UsageError } from "../support/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { BasicBlock } from "./residual-block.ts";

export interface CifarResNetOptions {
  /** 6·n + 2 for n blocks in each of the three stages; the released WResNet16-4 rounds n down. */
  readonly depth: number;
  readonly classes: number;
  readonly channels?: number;
  /** Multiplies the widths 16, 32, 64 of the stages, and that of the first convolution. */
  readonly widen?: number;
}

/**
 * Residual network for 32×32 images (He et al. 2016, section 4.2): a 3×3 convolution, three stages of widths 16, 32
 * and 64, the second and third starting with stride 2, average pooling, a linear layer. ResNet44 is depth 44;
 * WResNet16-4, as the paper's authors released it, is depth 16 with all widths times 4, which has two blocks a stage.
 */
export class CifarResNet extends Module {
  readonly conv1: Conv2d;
  readonly bn1: GhostBatchNorm;
  readonly layer1: Sequential;
  readonly layer2: Sequential;
  readonly layer3: Sequential;
  readonly fc: Linear;

  /** @throws UsageError for a depth below 8, or one that is not 6·n + 2 at the plain width */
  constructor({ depth, classes, channels = 3, widen = 1 }: CifarResNetOptions) {
    super();
    const blocks = Math.floor((depth - 2) / 6);
    if (blocks < 1 || (widen === 1 && depth !== 6 * blocks + 2)) {
      throw new UsageError(
        `resnet: a depth of ${depth} is not 6·n + 2; the nearest is ${6 * Math.max(1, blocks) + 2}`,
      );
    }
    const [narrow, middle, wide] = [16 * widen, 32 * widen, 64 * widen] as const;
    this.conv1 = new Conv2d(channels, narrow, { kernel: 3, padding: 1, initialize: "he" });
    this.bn1 = new GhostBatchNorm(narrow);
    this.layer1 = stage(narrow, narrow, blocks, 1);
    this.layer2 = stage(narrow, middle, blocks, 2);
    this.layer3 = stage(middle, wide, blocks, 2);
    this.fc = new Linear(wide, classes, { logits: true });
  }

  /** [N, channels, H, W] images to [N, classes] logits. */
  forward(x: Tensor, mode: Mode): Tensor {
    let h = this.bn1.forward(this.conv1.forward(x), mode, { relu: true });
    for (const layer of [this.layer1, this.layer2, this.layer3]) h = layer.forward(h, mode);
    return this.fc.forward(globalAvgPool(h));
  }
}

function stage(inputs: number, outputs: number, blocks: number, stride: number): Sequential {
  const rest = Array.from({ length: blocks - 1 }, () => new BasicBlock(outputs, outputs, 1));
  return new Sequential([new BasicBlock(inputs, outputs, stride), ...rest]);
}
