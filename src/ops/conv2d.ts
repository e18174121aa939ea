import { launchConv2d, launchConv2dGradInput } from "../kernels/conv2d.ts";
import { type Conv2dOptions, conv2dGeometry } from "../kernels/conv2d-geometry.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../kernels/conv2d-grad-weight.ts";
import { momentsLayout } from "../kernels/conv2d-moments.ts";
import type { Moments } from "../kernels/ghost-batch-norm.ts";
import { empty, slice, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·stride + r − padding, q·stride + s − padding] · weight[k,c,r,s], x outside its
 * border 0.
 *
 * @param x      [N, C, H, W]
 * @param weight [K, C, R, S]
 * @returns y [N, K, P, Q], P = ⌊(H + 2·padding − R) / stride⌋ + 1 and Q likewise
 * @throws ShapeError when the channels differ or the filter is larger than the padded image
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions): Tensor {
  const { N, K, P, Q } = conv2dGeometry(x.shape, weight.shape, options);
  const y = empty(x.gpu, [N, K, P, Q], "f32", "conv2d");
  launchConv2d({ x, weight, y }, options);
  recordBackward(x, weight, y, options);
  return y;
}

/**
 * As `conv2d`, with what a batch norm needs for its statistics: of each channel, mean and Σ (y − mean)² over each tile of pixels
 * that the kernel computes.
 *
 * @returns y, and moments [N, tiles of an image, K, 2], or null where the tiles of this layer do not cut its images evenly
 */
export function conv2dWithMoments(
  x: Tensor,
  weight: Tensor,
  options: Conv2dOptions,
): { y: Tensor; moments: Moments | null } {
  const geometry = conv2dGeometry(x.shape, weight.shape, options);
  const layout = momentsLayout(x.gpu, geometry);
  if (layout === null) return { y: conv2d(x, weight, options), moments: null };
  const { N, K, P, Q } = geometry;
  const { offset, tiles, pixels } = layout;
  const both = empty(x.gpu, [offset + 2 * N * tiles * K], "f32", "conv2d with moments");
  launchConv2d({ x, weight, y: both }, { ...options, moments: layout });
  const y = slice(both, 0, [N, K, P, Q]);
  recordBackward(x, weight, y, options);
  return { y, moments: { tensor: slice(both, offset, [N, tiles, K, 2]), pixels } };
}

function recordBackward(x: Tensor, weight: Tensor, y: Tensor, options: Conv2dOptions): void {
  differentiable("conv2d", [x, weight], y, (dy, destination) => {
    const dweight = destination(weight);
    if (dweight) {
      const { tensor, accumulate } = dweight;
      const { elements } = gradWeightPartials(x.gpu, x.shape, weight.shape, options);
      const partials = empty(x.gpu, [Math.max(1, elements)], "f32", "conv2d partials");
      launchConv2dGradWeight({ x, dy, partials, dweight: tensor }, { ...options, accumulate });
    }
    const dx = destination(x);
    if (dx) launchConv2dGradInput({ dy, weight, dx: dx.tensor }, { ...options, accumulate: dx.accumulate });
    return [dx?.tensor ?? null, dweight?.tensor ?? null];
  });
}
