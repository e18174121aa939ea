import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { element } from "./element.ts";
import { sumLanes } from "./reduction-tiles.ts";

const PARTIAL = defineKernel({
  file: "l2-distance/partial.wgsl",
  bindings: ["x", "start", "partial"],
  overrides: ["COUNT", "PARTS", "WG_SIZE"],
  params: ["stretch"],
  spec: ["Element", "WIDTH"],
});

const FINISH = defineKernel({
  file: "l2-distance/finish.wgsl",
  bindings: ["partial", "distance_out"],
  overrides: ["PARTS", "INDEX", "WG_SIZE"],
  params: ["parts"],
});

/** partial[w] = Σ (x − start)² over the w-th part; x and start [size], partial [parts]. */
export function launchDistancePartial({
  x,
  start,
  partial,
}: {
  x: Tensor;
  start: Tensor;
  partial: Tensor;
}): void {
  const { Element, WIDTH } = element("l2Distance", x.size, { x, start });
  const COUNT = x.size / WIDTH;
  const PARTS = partial.size;
  x.gpu.run(PARTIAL, {
    buffers: { x, start, partial },
    overrides: { COUNT, PARTS, WG_SIZE: sumLanes(x.gpu).partial },
    params: { stretch: Math.ceil(COUNT / PARTS) },
    spec: { Element, WIDTH },
    workgroups: [PARTS],
    cost: { flops: 3 * x.size, bytes: 8 * x.size },
  });
}

/** distance[index] = √ Σ partial. */
export function launchDistanceFinish(
  { partial, distance }: { partial: Tensor; distance: Tensor },
  index: number,
): void {
  partial.gpu.run(FINISH, {
    buffers: { partial, distance_out: distance },
    overrides: { PARTS: partial.size, INDEX: index, WG_SIZE: sumLanes(partial.gpu).finish },
    params: { parts: partial.size },
    workgroups: [1],
    cost: { flops: partial.size, bytes: 4 * partial.size },
  });
}
