import { Conv2d } from "../nn/conv2d.ts";
import { GhostBatchNorm } from "../nn/ghost-batch-norm.ts";
import { type Mode, Module, Sequential } from "../nn/module.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * The basic block of He et al. 2016: relu(bn(conv(relu(bn(conv(x))))) + shortcut), 3×3 convolutions. Where stride or
 * width changes, the shortcut is a 1×1 convolution with batch norm (option B), else x itself.
 */
export class BasicBlock extends Module {
  readonly conv1: Conv2d;
  readonly bn1: GhostBatchNorm;
  readonly conv2: Conv2d;
  readonly bn2: GhostBatchNorm;
  readonly downsample: Sequential | null;

  constructor(inputs: number, outputs: number, stride: number) {
    super();
    this.conv1 = new Conv2d(inputs, outputs, { kernel: 3, stride, padding: 1, initialize: "he" });
    this.bn1 = new GhostBatchNorm(outputs);
    this.conv2 = new Conv2d(outputs, outputs, { kernel: 3, padding: 1, initialize: "he" });
    this.bn2 = new GhostBatchNorm(outputs);
    this.downsample =
      stride === 1 && inputs === outputs
        ? null
        : new Sequential([
            new Conv2d(inputs, outputs, { kernel: 1, stride, initialize: "he" }),
            new GhostBatchNorm(outputs),
          ]);
  }

  /** [N, inputs, H, W] to [N, outputs, ⌈H / stride⌉, ⌈W / stride⌉]. */
  forward(x: Tensor, mode: Mode): Tensor {
    const residual = this.downsample?.forward(x, mode) ?? x;
    const h = this.bn1.forward(this.conv1.forward(x), mode, { relu: true });
    return this.bn2.forward(this.conv2.forward(h), mode, { relu: true, residual });
  }
}
