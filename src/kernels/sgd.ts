import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { flatGrid } from "./grid.ts";
import { sumLanes } from "./reduction-tiles.ts";

const SUM_OF_SQUARES = defineKernel({
  file: "reduce/sum-of-squares.wgsl",
  bindings: ["x", "partial"],
  overrides: ["QUADS", "PARTS", "WG_SIZE"],
  params: ["stretch"],
});

const CLIP = defineKernel({
  file: "clip/coefficient.wgsl",
  bindings: ["partial", "clip", "log_rows", "step"],
  overrides: ["PARTS", "ROWS", "SKIP", "WG_SIZE"],
  params: ["parts", "inverse_scale"],
});

const MOMENTUM = defineKernel({
  file: "sgd/momentum.wgsl",
  bindings: ["gradient", "clip", "velocity", "value", "step"],
  overrides: ["QUADS"],
});

/** Partial sums of a reduction over `size` numbers: enough workgroups to fill a GPU, few enough for one to add up. */
export function partialSums(size: number): number {
  return Math.min(256, Math.max(1, Math.ceil(size / 4096)));
}

/** partial[w] = Σ x² over the w-th of equal stretches. x [size], size a multiple of 4; partial [partialSums(size)]. */
export function launchSumOfSquares({ x, partial }: { x: Tensor; partial: Tensor }): void {
  const QUADS = x.size / 4;
  const PARTS = partial.size;
  x.gpu.run(SUM_OF_SQUARES, {
    buffers: { x, partial },
    overrides: { QUADS, PARTS, WG_SIZE: sumLanes(x.gpu).partial },
    params: { stretch: Math.ceil(QUADS / PARTS) },
    workgroups: [PARTS],
    cost: { flops: 2 * x.size, bytes: 4 * x.size },
  });
}

/**
 * The global norm of the gradient and min(1, clipNorm / (norm + 1e-6)) of the step.
 *
 * @param partial partial sums of squares
 * @param clip    [2], written: norm, coefficient / lossScale
 * @param log     [ROWS, 8]; fields 4 to 6 of the step's row get norm, coefficient, learning rate
 * @param step    the Step uniform
 * @param options.lossScale the factor that the gradient was multiplied by, a power of two; 1 by default
 * @param options.skipNonFinite a step whose norm or loss is not finite gets the coefficient -1, which applies nothing
 */
export function launchClip(
  { partial, clip, log, step }: { partial: Tensor; clip: Tensor; log: Tensor; step: Tensor },
  { skipNonFinite = false, lossScale = 1 }: { skipNonFinite?: boolean; lossScale?: number | undefined } = {},
): void {
  partial.gpu.run(CLIP, {
    buffers: { partial, clip, log_rows: log, step },
    overrides: {
      PARTS: partial.size,
      ROWS: log.shape[0]!,
      SKIP: skipNonFinite,
      WG_SIZE: sumLanes(partial.gpu).finish,
    },
    params: { parts: partial.size, inverse_scale: 1 / lossScale },
    workgroups: [1],
    cost: { flops: partial.size, bytes: 4 * partial.size },
  });
}

/** One step of momentum SGD in place; all [size], size a multiple of 4; `clip` [2] and `step` as for launchClip. */
export function launchMomentum(t: {
  gradient: Tensor;
  clip: Tensor;
  velocity: Tensor;
  value: Tensor;
  step: Tensor;
}): void {
  const QUADS = t.value.size / 4;
  t.value.gpu.run(MOMENTUM, {
    buffers: t,
    overrides: { QUADS },
    workgroups: flatGrid(QUADS),
    cost: { flops: 6 * t.value.size, bytes: 20 * t.value.size },
  });
}
