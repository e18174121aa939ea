import { defineKernel } from "../gpu/kernel.ts";
import { leadingDims } from "../tensor/shape.ts";
import { empty, type Tensor } from "../tensor/tensor.ts";
import { bytesOf, element, floatType } from "./element.ts";
import { flatGrid } from "./grid.ts";
import { reductionLanes, reductionSplits } from "./reduction-tiles.ts";
import { launchSumRows } from "./sum-rows.ts";

const ADD = defineKernel({
  file: "channel-bias/add.wgsl",
  bindings: ["x", "bias", "y"],
  overrides: ["C", "HW", "SIZE"],
  spec: ["Stored"],
});

const GRAD_BIAS = defineKernel({
  file: "channel-bias/grad-bias.wgsl",
  bindings: ["dy", "dbias"],
  overrides: ["C", "HW", "ACCUMULATE", "SPLITS", "WG_SIZE"],
  params: ["count"],
  spec: ["Element", "Stored", "WIDTH"],
});

/** y = x + bias[c]; x and y [N, C, …], bias [C]. */
export function launchChannelBias(t: { x: Tensor; bias: Tensor; y: Tensor }): void {
  const [N, C] = leadingDims("channelBias: x", t.x.shape, 2);
  const SIZE = t.x.size;
  t.x.gpu.run(ADD, {
    buffers: t,
    overrides: { C, HW: SIZE / (N * C), SIZE },
    spec: { Stored: floatType("channelBias", { x: t.x, y: t.y }) },
    workgroups: flatGrid(SIZE),
    cost: { flops: SIZE, bytes: bytesOf({ x: t.x, y: t.y }) },
  });
}

/** dbias[c] = Σ dy over images and pixels, written or added to; dy [N, C, …], dbias [C]. */
export function launchChannelBiasGrad(
  t: { dy: Tensor; dbias: Tensor },
  { accumulate }: { accumulate: boolean },
): void {
  const [N, C] = leadingDims("channelBias: dy", t.dy.shape, 2);
  const { gpu } = t.dy;
  const HW = t.dy.size / (N * C);
  // From 2^18 values on, a workgroup of 1024 lanes reads for longer than a second dispatch takes.
  const SPLITS = N * HW < 2 ** 18 ? 1 : reductionSplits(gpu, { groups: C, values: N * HW, least: 2 ** 16 });
  const spec = element("channelBias", HW, { dy: t.dy });
  const count = (N * HW) / spec.WIDTH;
  const WG_SIZE = reductionLanes(gpu, C * SPLITS, count / SPLITS);
  const partial = SPLITS > 1 ? empty(gpu, [SPLITS, C], "f32", "bias partial sums") : t.dbias;
  gpu.run(GRAD_BIAS, {
    buffers: { dy: t.dy, dbias: partial },
    overrides: { C, HW, ACCUMULATE: accumulate && SPLITS === 1, SPLITS, WG_SIZE },
    params: { count },
    spec,
    workgroups: [C, SPLITS],
    cost: { flops: t.dy.size, bytes: t.dy.byteLength },
  });
  if (SPLITS > 1) launchSumRows({ x: partial, y: t.dbias }, { accumulate });
}
