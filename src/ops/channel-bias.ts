import { launchChannelBias, launchChannelBiasGrad } from "../kernels/channel-bias.ts";
import { expectShape, leadingDims } from "../tensor/shape.ts";
import { empty, expectType, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/**
 * y[n,c,…] = x[n,c,…] + bias[c]: the bias of a convolution. The gradient of x is dy itself.
 *
 * @param x    [N, C, …], f32 or f16
 * @param bias [C] f32
 * @throws ShapeError when the shapes or types do not fit
 */
export function addChannelBias(x: Tensor, bias: Tensor): Tensor {
  const [, C] = leadingDims("addChannelBias: x", x.shape, 2);
  expectShape("addChannelBias: bias", bias.shape, [C]);
  expectType("addChannelBias", "f32", { bias });
  const y = empty(x.gpu, x.shape, x.dtype, "channel bias");
  launchChannelBias({ x, bias, y });
  differentiable("addChannelBias", [x, bias], y, (dy, destination) => {
    const dbias = destination(bias);
    if (dbias) launchChannelBiasGrad({ dy, dbias: dbias.tensor }, { accumulate: dbias.accumulate });
    return [dy, dbias?.tensor ?? null];
  });
  return y;
}
