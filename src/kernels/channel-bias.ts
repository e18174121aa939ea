import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";

const ADD = defineKernel({
  file: "channel-bias/add.wgsl",
  bindings: ["x", "bias", "y"],
  overrides: ["C", "HW", "SIZE"],
});

const GRAD_BIAS = defineKernel({
  file: "channel-bias/grad-bias.wgsl",
  bindings: ["dy", "dbias"],
  overrides: ["C", "HW", "ACCUMULATE"],
  params: ["count"],
});

/** y = x + bias[c]; x and y [N, C, …], bias [C]. */
export function launchChannelBias(t: { x: Tensor; bias: Tensor; y: Tensor }): void {
  const [N, C] = t.x.shape as [number, number];
  const SIZE = t.x.size;
  t.x.gpu.run(ADD, {
    buffers: t,
    overrides: { C, HW: SIZE / (N * C), SIZE },
    workgroups: flatGrid(SIZE),
    cost: { flops: SIZE, bytes: 8 * SIZE },
  });
}

/** dbias[c] = Σ dy over images and pixels, written or added to; dy [N, C, …], dbias [C]. */
export function launchChannelBiasGrad(
  t: { dy: Tensor; dbias: Tensor },
  { accumulate }: { accumulate: boolean },
): void {
  const [N, C] = t.dy.shape as [number, number];
  const HW = t.dy.size / (N * C);
  t.dy.gpu.run(GRAD_BIAS, {
    buffers: t,
    overrides: { C, HW, ACCUMULATE: accumulate },
    params: { count: N * HW },
    workgroups: [C],
    cost: { flops: t.dy.size, bytes: 4 * t.dy.size },
  });
}
