import { affineNorm } from "../ops/affine-norm.ts";
import { momentsOf } from "../ops/conv2d.ts";
import { ghostBatchNorm } from "../ops/ghost-batch-norm.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { constant, uniformBetween } from "./initialize.ts";
import { type Mode, Module, Parameter, type ReluOptions } from "./module.ts";
import type { NormState, NormStatistics } from "./norm-state.ts";

export interface NormOptions {
  /** Initial gamma: "ones", or "uniform" for U(0, 1), PyTorch's default before 1.2. */
  readonly gamma?: "ones" | "uniform";
  /** Added to the variance; 1e-5 is PyTorch's default and the authors'. */
  readonly eps?: number;
}

interface ForwardOptions extends ReluOptions {
  readonly residual?: Tensor;
}

/**
 * Batch norm whose training statistics are those of each ghost batch. How a batch is cut into ghosts is
 * part of the mode, not of the layer. Evaluation uses the running statistics and no ghosts.
 * Source: Hoffer et al. 2017, Algorithm 1.
 */
export class GhostBatchNorm extends Module implements NormStatistics {
  readonly kind = "statistics";
  override readonly appliesRelu = true;
  readonly gamma: Parameter; // [channels]
  readonly beta: Parameter; // [channels]
  readonly channels: number;
  readonly eps: number;
  firstChannel = 0;
  pixels = 1;
  #state: NormState | null = null;

  constructor(channels: number, { gamma = "ones", eps = 1e-5 }: NormOptions = {}) {
    super();
    this.channels = channels;
    this.eps = eps;
    this.gamma = new Parameter([channels], gamma === "ones" ? constant(1) : uniformBetween(0, 1));
    this.beta = new Parameter([channels], constant(0));
  }

  override get state(): NormStatistics {
    return this;
  }

  place(state: NormState, firstChannel: number): void {
    this.#state = state;
    this.firstChannel = firstChannel;
  }

  /**
   * @param x [N, channels] or [N, channels, H, W]
   * @param options.relu applies a ReLU in the same kernel
   * @param options.residual is added before the ReLU, in the same kernel
   */
  forward(x: Tensor, mode: Mode, { relu = false, residual }: ForwardOptions = {}): Tensor {
    const state = this.#state;
    if (!state) throw new Error("this batch norm has no memory yet: materialize the model first");
    const { eps, firstChannel } = this;
    const [gamma, beta] = [this.gamma.value, this.beta.value];
    if (mode.kind === "eval") {
      // Planning reads no moments, but software adapters would take longer to compile a second convolution without them.
      momentsOf(x);
      return affineNorm(x, gamma, beta, { ...state, firstChannel, eps, relu, residual });
    }
    this.pixels = x.size / (x.shape[0]! * x.shape[1]!);
    const { statistics } = state;
    const { ghosts } = mode;
    return ghostBatchNorm(x, gamma, beta, { ghosts, statistics, firstChannel, eps, relu, residual });
  }
}
