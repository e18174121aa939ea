import { launchConv2d, launchConv2dGradInput } from "../kernels/conv2d.ts";
import { type Conv2dOptions, conv2dGeometry } from "../kernels/conv2d-geometry.ts";
import { gradWeightPartials, launchConv2dGradWeightPartials } from "../kernels/conv2d-grad-weight.ts";
import { momentsLayout } from "../kernels/conv2d-moments.ts";
import type { Moments } from "../kernels/ghost-batch-norm.ts";
import { empty, slice, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·stride + r − padding, q·stride + s − padding] · weight[k,c,r,s], x outside its
 * border 0. A batch norm that comes next can have the moments of y from the same dispatch: see `momentsOf`.
 *
 * @param x      [N, C, H, W]
 * @param weight [K, C, R, S]
 * @returns y [N, K, P, Q], P = ⌊(H + 2·padding − R) / stride⌋ + 1 and Q likewise
 * @throws ShapeError when the channels differ or the filter is larger than the padded image
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions): Tensor {
  const { gpu } = x;
  const geometry = conv2dGeometry(x.shape, weight.shape, options);
  const { N, K, P, Q } = geometry;
  const layout = momentsLayout(gpu, geometry);
  if (layout === null) {
    const y = empty(gpu, [N, K, P, Q], "f32", "conv2d");
    launchConv2d({ x, weight, y }, options);
    recordBackward(x, weight, y, options);
    return y;
  }
  const { offset, tiles, pixels } = layout;
  const both = empty(gpu, [offset + 2 * N * tiles * K], "f32", "conv2d");
  const y = slice(both, 0, [N, K, P, Q]);
  const plain = () => {
    both.storage.shrink(y.byteLength);
    launchConv2d({ x, weight, y }, options);
  };
  const moments = { tensor: slice(both, offset, [N, tiles, K, 2]), pixels };
  const withMoments = () => launchConv2d({ x, weight, y: both }, { ...options, moments: layout });
  waiting.set(y, { plain, withMoments, moments });
  gpu.holdBack(plain);
  recordBackward(x, weight, y, options);
  return y;
}

/** Convolutions that may still be asked for moments. */
const waiting = new WeakMap<
  Tensor,
  { readonly plain: () => void; readonly withMoments: () => void; readonly moments: Moments }
>();

/**
 * What a batch norm needs for the statistics of y without reading it: of each channel, mean and Σ (y − mean)² over each tile of
 * pixels that the convolution computes. A convolution waits for the next dispatch, so that it computes them only where they are
 * asked for: this must come directly after it.
 *
 * @param pays whether moments of so many tiles of an image are worth having
 * @returns moments [N, tiles, K, 2]; null where y is not the output of the last dispatch, a convolution, or its tiles do not cut
 *   the images evenly
 */
export function momentsOf(y: Tensor, pays: (tiles: number) => boolean = () => true): Moments | null {
  const convolution = waiting.get(y);
  if (!convolution || !pays(convolution.moments.tensor.shape[1]!)) return null;
  if (!y.gpu.takeBack(convolution.plain)) return null;
  convolution.withMoments();
  return convolution.moments;
}

function recordBackward(x: Tensor, weight: Tensor, y: Tensor, options: Conv2dOptions): void {
  differentiable("conv2d", [x, weight], y, (dy, destination, sums) => {
    const dweight = destination(weight);
    if (dweight) {
      const { tensor, accumulate } = dweight;
      const { splits, elements } = gradWeightPartials(x.gpu, x.shape, weight.shape, options);
      const whole = splits === 1 && !accumulate;
      const partials = whole ? tensor : sums.scratch(x.gpu, [elements], "conv2d partials");
      launchConv2dGradWeightPartials({ x, dy, partials }, weight.shape, options);
      if (!whole) sums.add({ partials, rows: splits }, dweight);
    }
    const dx = destination(x);
    if (dx) launchConv2dGradInput({ dy, weight, dx: dx.tensor }, { ...options, accumulate: dx.accumulate });
    return [dx?.tensor ?? null, dweight?.tensor ?? null];
  });
}
