import { launchAffine } from "../kernels/ghost-batch-norm.ts";
import { ShapeError } from "../support/errors.ts";
import { expectNumber, expectShape, expectWhole, leadingDims, shapeText } from "../tensor/shape.ts";
import { empty, expectType, type Tensor } from "../tensor/tensor.ts";

/**
 * Batch normalization in evaluation: y = gamma · (x − runningMean) / √(runningVariance + eps) + beta (+ residual),
 * then a ReLU if asked for. There are no ghosts: a sample's result does not depend on the others. Not differentiable.
 *
 * @param x     [N, C] or [N, C, H, W]
 * @param gamma [C]
 * @param beta  [C]
 * @param options.runningMean, options.runningVariance [channels of all layers], read from `firstChannel` on
 * @throws ShapeError when shapes, types or numbers do not fit, or the channels run past the end of the running statistics
 */
export function affineNorm(
  x: Tensor,
  gamma: Tensor,
  beta: Tensor,
  options: {
    readonly runningMean: Tensor;
    readonly runningVariance: Tensor;
    readonly firstChannel: number;
    readonly eps: number;
    readonly relu?: boolean;
    readonly residual?: Tensor | undefined;
  },
): Tensor {
  const { runningMean, runningVariance, firstChannel, eps, relu = false, residual } = options;
  const [, C] = leadingDims("affineNorm: x", x.shape, 2);
  expectType("affineNorm", "f32", { gamma, beta, runningMean, runningVariance });
  expectShape("affineNorm: gamma", gamma.shape, [C]);
  expectShape("affineNorm: beta", beta.shape, gamma.shape);
  if (residual) expectShape("affineNorm: residual", residual.shape, x.shape);
  expectShape("affineNorm: runningVariance", runningVariance.shape, runningMean.shape);
  expectWhole("affineNorm: firstChannel", firstChannel);
  expectNumber("affineNorm: eps", eps, 0);
  // WebGPU does not report reads past the end of a buffer; the results would be silently wrong.
  if (firstChannel + gamma.size > runningMean.size) {
    throw new ShapeError(
      `affineNorm: runningMean ${shapeText(runningMean.shape)} has ${runningMean.size} channels, but the layer has ` +
        `${gamma.size} from ${firstChannel} on: pass running statistics of at least ${firstChannel + gamma.size} channels`,
    );
  }
  const y = empty(x.gpu, x.shape, x.dtype, "affine norm");
  const tensors = { x, runningMean, runningVariance, gamma, beta, y };
  launchAffine({ ...tensors, ...(residual && { residual }) }, { firstChannel, eps, relu });
  return y;
}
