import { launchConv2d, launchConv2dGradInput } from "../kernels/conv2d.ts";
import { type Conv2dOptions, conv2dGeometry } from "../kernels/conv2d-geometry.ts";
import { gradInputNormTiles, launchConv2dGradInputNorm } from "../kernels/conv2d-grad-input-norm.ts";
import { gradWeightPartials, launchConv2dGradWeightPartials } from "../kernels/conv2d-grad-weight.ts";
import { momentsLayout } from "../kernels/conv2d-moments.ts";
import type { Moments, NormOptions } from "../kernels/ghost-batch-norm.ts";
import { empty, expectType, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y[n,k,p,q] = Σ_c Σ_r Σ_s x[n, c, p·stride + r − padding, q·stride + s − padding] · weight[k,c,r,s], x outside its
 * border 0. A batch norm that follows can get the moments of y from the same dispatch: see `momentsOf`.
 *
 * @param x      [N, C, H, W], f32 or f16
 * @param weight [K, C, R, S] f32
 * @returns y [N, K, P, Q], P = ⌊(H + 2·padding − R) / stride⌋ + 1 and Q likewise
 * @throws ShapeError when shapes, types, stride or padding do not fit, or the filter is larger than the padded image
 */
export function conv2d(x: Tensor, weight: Tensor, options: Conv2dOptions): Tensor {
  const { gpu } = x;
  const geometry = conv2dGeometry(x.shape, weight.shape, options);
  expectType("conv2d", "f32", { weight });
  const { N, K, P, Q } = geometry;
  const y = empty(gpu, [N, K, P, Q], x.dtype, "conv2d");
  const plain = () => launchConv2d({ x, weight, y }, options);
  const layout = momentsLayout(gpu, geometry, y.dtype);
  if (layout === null) plain();
  else {
    const { tiles, pixels } = layout;
    const withMoments = () => {
      const moments = empty(gpu, [N, tiles, K, 2], "f32", "moments");
      launchConv2d({ x, weight, y, moments }, options);
      return { tensor: moments, pixels };
    };
    waiting.set(y, { tiles, plain, withMoments });
    gpu.holdBack(plain);
  }
  recordBackward(x, weight, y, options);
  return y;
}

/** Convolutions that a norm may still ask for moments. */
const waiting = new WeakMap<
  Tensor,
  { readonly tiles: number; readonly plain: () => void; readonly withMoments: () => Moments }
>();

/**
 * What a batch norm needs for the statistics of y without reading it: of each channel, mean and Σ (y − mean)² over each tile of
 * pixels that the convolution computes. A convolution waits for the next dispatch, so that it computes them only where they are
 * asked for: this must come directly after it.
 *
 * @param pays whether moments of this many tiles per image are worth having
 * @returns moments [N, tiles, K, 2]; null where y is not the output of the last dispatch, a convolution, or its tiles do not cut
 *   the images evenly
 */
export function momentsOf(y: Tensor, pays: (tiles: number) => boolean = () => true): Moments | null {
  const convolution = waiting.get(y);
  if (!convolution || !pays(convolution.tiles)) return null;
  if (!y.gpu.takeBack(convolution.plain)) return null;
  return convolution.withMoments();
}

function recordBackward(x: Tensor, weight: Tensor, y: Tensor, options: Conv2dOptions): void {
  differentiable("conv2d", [x, weight], y, (dy, destination, sums) => {
    const dweight = destination(weight);
    if (dweight) {
      const { tensor, accumulate } = dweight;
      const { splits, elements } = gradWeightPartials(x, weight.shape, options);
      const whole = splits === 1 && !accumulate;
      const partials = whole ? tensor : sums.scratch(x, [elements], "conv2d partials");
      launchConv2dGradWeightPartials({ x, dy, partials }, weight.shape, options);
      if (!whole) sums.add({ partials, rows: splits }, dweight);
    }
    const dx = destination(x);
    if (dx) launchInputGradient({ dy, weight, dx: dx.tensor }, { ...options, accumulate: dx.accumulate });
    return [dx?.tensor ?? null, dweight?.tensor ?? null];
  });
}

/** Launches it at once, or before the next dispatch if a norm may still ask for its sums. */
function launchInputGradient(
  t: { dy: Tensor; weight: Tensor; dx: Tensor },
  options: Conv2dOptions & { accumulate: boolean },
): void {
  const { gpu } = t.dx;
  const plain = () => launchConv2dGradInput(t, options);
  const tiles = gradInputNormTiles(t.dx, t.weight.shape, options);
  if (tiles === null) {
    plain();
    return;
  }
  const withNorm: InputGradient["withNorm"] = ({ place, scratch, ...norm }) =>
    launchConv2dGradInputNorm({ ...t, norm, scratch }, { ...options, norm: place });
  heldGradients.set(t.dx, { tiles, plain, withNorm });
  gpu.holdBack(plain);
}

/** An input gradient that has yet to be launched, alone or with a norm. */
export interface InputGradient {
  /** Approximate tiles per image, from `gradInputNormTiles`. */
  readonly tiles: number;
  readonly plain: () => void;
  /** As `launchConv2dGradInputNorm`, for the norm whose output was the convolution's input. */
  readonly withNorm: (
    norm: Parameters<typeof launchConv2dGradInputNorm>[0]["norm"] & {
      readonly place: NormOptions;
      readonly scratch: (shape: readonly number[]) => Tensor;
    },
  ) => Tensor;
}

const heldGradients = new WeakMap<Tensor, InputGradient>();

/**
 * For the backward pass of a batch norm: the convolution whose input gradient dy is, if it is still to be launched; the caller then
 * launches it. Null where dy is not the output of the last dispatch, or no kernel gives the sums with it.
 */
export function takeInputGradient(dy: Tensor): InputGradient | null {
  const held = heldGradients.get(dy);
  return held && dy.gpu.takeBack(held.plain) ? held : null;
}
