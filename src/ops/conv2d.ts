import { launchConv2d, launchConv2dGradInput } from "../kernels/conv2d.ts";
import { type Conv2dOptions, conv2dGeometry } from "../kernels/conv2d-geometry.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../kernels/conv2d-grad-weight.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
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
  const geometry = conv2dGeometry(x.shape, weight.shape, options);
  const y = empty(x.gpu, [geometry.N, geometry.K, geometry.P, geometry.Q], "f32", "conv2d");
  launchConv2d({ x, weight, y }, options);

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
  return y;
}
