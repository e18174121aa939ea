import { launchChannelBias, launchChannelBiasGrad } from "../kernels/channel-bias.ts";
import { expectShape } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/** y[n,c,…] = x[n,c,…] + bias[c]: the bias of a convolution. x [N, C, …], bias [C]; the gradient of x is dy itself. */
export function addChannelBias(x: Tensor, bias: Tensor): Tensor {
  expectShape("addChannelBias: bias", bias.shape, [x.shape[1]!]);
  const y = empty(x.gpu, x.shape, x.dtype, "channel bias");
  launchChannelBias({ x, bias, y });
  differentiable("addChannelBias", [x, bias], y, (dy, destination) => {
    const dbias = destination(bias);
    if (dbias) launchChannelBiasGrad({ dy, dbias: dbias.tensor }, { accumulate: dbias.accumulate });
    return [dy, dbias?.tensor ?? null];
  });
  return y;
}
