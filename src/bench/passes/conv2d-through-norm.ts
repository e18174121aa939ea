/** The gradient of a convolution's input that is a batch norm's output, and then of the norm's input, in the fewest passes. */
import { conv2dCases } from "../../cases/conv2d.ts";
import { caseLabel } from "../../cases/label.ts";
import { launchConv2dGradInput } from "../../kernels/conv2d.ts";
import { gradInputNormTiles, launchConv2dGradInputNorm } from "../../kernels/conv2d-grad-input-norm.ts";
import { launchForward } from "../../kernels/ghost-batch-norm.ts";
import { launchBackwardPasses } from "../../kernels/ghost-batch-norm-backward.ts";
import { launchGradInput, sumsShape } from "../../kernels/ghost-batch-norm-gradients.ts";
import { roundingBound } from "../../reference/close.ts";
import { conv2dInputGradient, conv2dOutputSize } from "../../reference/conv2d.ts";
import { ghostBatchNormGradients, ghostBatchNormScales } from "../../reference/ghost-batch-norm.ts";
import { empty, fromArray, readFloats } from "../../tensor/tensor.ts";
import { numbers, type Pass, passOf, poisoned } from "../pass.ts";

/** More than one value of a channel in the batch, so that it has a variance, and inputs that the filter covers. */
const cases = conv2dCases.filter(({ N, H, W, stride }) => N * H * W >= 32 && stride === 1);

export const conv2dThroughNormPasses: readonly Pass[] = [
  passOf("conv2d/grad-input-through-norm", cases, {
    label: caseLabel,
    cost: (size) => {
      const { N, C, H, W, K, R, S } = size;
      const { P, Q } = conv2dOutputSize(size);
      return { flops: 2 * N * K * P * Q * C * R * S, bytes: 4 * (4 * N * C * H * W + N * K * P * Q) };
    },
    prepare: async (gpu, size) => {
      const { N, C, H, W, K, R, S, stride, padding } = size;
      const { P, Q } = conv2dOutputSize(size);
      const make = numbers(N * 1000 + C);
      const count = N * C * H * W;
      const host = { x: make(count, { mean: 0.2 }), gamma: make(C), beta: make(C) };
      const weights = make(K * C * R * S);
      const incoming = make(N * K * P * Q);
      const shape = [N, C, H, W];
      const x = fromArray(gpu, host.x, shape, "x");
      const gamma = fromArray(gpu, host.gamma, [C], "gamma");
      const beta = fromArray(gpu, host.beta, [C], "beta");
      const weight = fromArray(gpu, weights, [K, C, R, S], "weight");
      const dy = fromArray(gpu, incoming, [N, K, P, Q], "dy");
      const statistics = poisoned(gpu, [1, C, 2], "statistics");
      const y = poisoned(gpu, shape, "y");
      const ghosts = { ghostSize: N, ghosts: 1, total: N };
      const norm = { ghosts, firstChannel: 0, eps: 1e-5, relu: true };
      launchForward({ x, gamma, beta, statistics, y }, norm);
      const outputs = await readFloats(y);
      const dx = poisoned(gpu, shape, "dx");
      const options = { stride, padding };
      const launch = () => {
        const own = { x, statistics, gamma, beta };
        const between = empty(gpu, shape, "f32", "gradient of the norm's output");
        if (gradInputNormTiles(between, weight.shape, options) === null) {
          launchConv2dGradInput({ dy, weight, dx: between }, options);
          const sums = empty(gpu, sumsShape(x, ghosts), "f32", "sums");
          launchBackwardPasses({ ...own, dy: between, sums, dx }, { ...norm, accumulate: false });
          return;
        }
        const scratch = (sides: readonly number[]) => empty(gpu, sides, "f32", "sums");
        const sums = launchConv2dGradInputNorm(
          { dy, weight, dx: between, norm: own, scratch },
          { ...options, norm },
        );
        const how = { ...norm, relu: false, accumulate: false, ofSamples: true };
        launchGradInput({ ...own, dy: between, sums, dx }, how);
      };
      const layout = { N, C, HW: H * W, ghostSize: N, ghosts: 1, eps: norm.eps, relu: true };
      const whole = () => ({
        ...host,
        y: outputs,
        dy: conv2dInputGradient({ dy: incoming, weight: weights }, size),
      });
      const terms = K * R * S;
      const bound = () => roundingBound({ terms, scale: ghostBatchNormScales(whole(), layout).dx });
      const reference = () => ghostBatchNormGradients(whole(), layout).dx;
      return { launch, outputs: [{ name: "dx", tensor: dx, reference, bound }] };
    },
  }),
];
