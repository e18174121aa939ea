import { launchGlobalAvgPool, launchGlobalAvgPoolGradInput } from "../kernels/global-avg-pool.ts";
import { dims } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { differentiable } from "./tape.ts";

/** y[n,c] = mean of x[n,c,·,·]; [N, C, H, W] to [N, C]. @throws ShapeError unless x has four dimensions */
export function globalAvgPool(x: Tensor): Tensor {
  const [N, C] = dims("globalAvgPool: x", x.shape, 4);
  const y = empty(x.gpu, [N, C], "f32", "global avg pool");
  launchGlobalAvgPool({ x, y });
  differentiable("globalAvgPool", [x], y, (dy, destination) => {
    const dx = destination(x);
    if (dx) launchGlobalAvgPoolGradInput({ dy, dx: dx.tensor }, { accumulate: dx.accumulate });
    return [dx?.tensor ?? null];
  });
  return y;
}
