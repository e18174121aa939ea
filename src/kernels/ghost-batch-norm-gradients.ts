/**
 * Ghost batch norm, backward. dy' is the incoming gradient after going back through the fused relu, x̂ is the normalized x, and all
 * sums are over one channel of one ghost of M values:
 *
 *   dx = gamma / √(variance + eps) · (dy' − Σdy'/M − x̂ · Σdy'x̂/M)
 *   dgamma = Σ over the ghosts of Σdy'x̂,  dbeta = Σ over the ghosts of Σdy',  dresidual = dy'
 *
 * Source: Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
 */
import { defineKernel } from "../gpu/kernel.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { element } from "./element.ts";
import {
  elementwiseTiles,
  type Ghosts,
  isDense,
  largestGhost,
  type NormOptions,
  normSize,
  PLACE,
  placeParams,
  splitsOf,
} from "./ghost-batch-norm-geometry.ts";
import { reductionLanes } from "./reduction-tiles.ts";

const GRAD_STATISTICS = defineKernel({
  file: "ghost-batch-norm/grad-statistics.wgsl",
  bindings: ["x", "dy", "y", "statistics", "gamma", "beta", "sums"],
  overrides: ["C", "HW", "GATE", "SPLITS", "WG_SIZE"],
  params: [...PLACE, "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

const GRAD_STATISTICS_NARROW = defineKernel({
  file: "ghost-batch-norm/grad-statistics-narrow.wgsl",
  bindings: ["x", "dy", "y", "statistics", "gamma", "beta", "sums"],
  overrides: ["C", "HW", "GATE"],
  params: [...PLACE, "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

const GRAD_INPUT = defineKernel({
  file: "ghost-batch-norm/grad-input.wgsl",
  bindings: ["x", "dy", "statistics", "gamma", "beta", "sums", "dx"],
  overrides: ["C", "HW", "RELU", "ACCUMULATE", "SPLITS", "TILES", "WG_SIZE", "ROW"],
  params: [...PLACE, "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

const GRAD_INPUT_ADD = defineKernel({
  file: "ghost-batch-norm/grad-input-add.wgsl",
  bindings: ["x", "dy", "y", "statistics", "gamma", "sums", "dx", "dresidual"],
  overrides: ["C", "HW", "RELU", "ACCUMULATE", "ACCUMULATE_RESIDUAL", "SPLITS", "WG_SIZE", "ROW"],
  params: [...PLACE, "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

/**
 * Shape of the tensor `sums`: [G, splits, C, 2], (Σ dy', Σ dy'·x̂) of each group, or of each part of a group that several
 * workgroups share. For a layer without pixels [G, 1, C, 3], used as [G, 3, C] with Σ dx as the third.
 */
export function sumsShape(x: Tensor, ghosts: Ghosts): readonly number[] {
  const { C, HW } = normSize(x);
  if (isDense(C, HW)) return [ghosts.ghosts, 1, C, 3];
  // 2^15 values: a workgroup of 1024 lanes reads them in about the time that starting a workgroup takes. At most 16
  // parts, since every workgroup of the second pass adds them up.
  return [ghosts.ghosts, Math.min(16, splitsOf(x, ghosts, 2 ** 15)), C, 2];
}

/**
 * sums = (Σ dy', Σ dy'·x̂) of each channel of each ghost, x̂ = (x − mean) / √(variance + eps).
 *
 * @param t.x          [N, C, …], forward's input
 * @param t.dy         of x's shape, the gradient of y
 * @param t.y          forward's output if a residual was added: the relu's sign is read from it; else it is recomputed from x
 * @param t.statistics [rows, totalChannels, 2] of forward
 * @param t.gamma      [C]
 * @param t.beta       [C]
 * @param t.sums       of `sumsShape(x, ghosts)`, written
 */
export function launchGradStatistics(
  t: { x: Tensor; dy: Tensor; y?: Tensor; statistics: Tensor; gamma: Tensor; beta: Tensor; sums: Tensor },
  { relu, ...place }: NormOptions,
): void {
  const { x, dy, statistics, gamma, beta, sums } = t;
  const { C, HW } = normSize(x);
  const G = place.ghosts.ghosts;
  const GATE = relu ? (t.y ? 2 : 1) : 0;
  const buffers = { x, dy, y: GATE === 2 ? t.y! : x, statistics, gamma, beta, sums };
  const params = { ...placeParams(place, statistics), eps: place.eps };
  const spec = element("ghostBatchNorm", HW, { x, dy, y: t.y });
  const cost = { flops: (GATE === 1 ? 7 : 4) * x.size, bytes: (GATE === 2 ? 3 : 2) * x.byteLength };
  const narrow = () => {
    const workgroups = [C, G] as const;
    x.gpu.run(GRAD_STATISTICS_NARROW, {
      buffers,
      overrides: { C, HW, GATE },
      params,
      spec,
      workgroups,
      cost,
    });
  };
  const wide = () => {
    const SPLITS = sums.shape[1]!;
    const elements = (largestGhost(place.ghosts) * HW) / spec.WIDTH;
    const WG_SIZE = reductionLanes(x.gpu, C * G * SPLITS, elements / SPLITS);
    const overrides = { C, HW, GATE, SPLITS, WG_SIZE };
    x.gpu.run(GRAD_STATISTICS, { buffers, overrides, params, spec, workgroups: [C, G, SPLITS], cost });
  };
  ({ narrow, wide })[x.gpu.baseVariant]();
}

/** The gradients that backward adds to instead of overwriting them. */
export interface GradientOptions extends NormOptions {
  /** dx += */
  readonly accumulate: boolean;
  /** dresidual += */
  readonly accumulateResidual?: boolean;
  /** dgamma += and dbeta +=, as for the second slab of a batch. */
  readonly accumulateParameters?: boolean;
  /** Whether `sums` are [N, tiles, C, 2] of `launchConv2dGradInputNorm`; dy is then dy'. */
  readonly ofSamples?: boolean;
}

/**
 * dx (formula above), and dresidual = dy' where there was a residual.
 *
 * @param t.x          [N, C, …], forward's input
 * @param t.dy         of x's shape, the gradient of y
 * @param t.statistics [rows, totalChannels, 2] of forward
 * @param t.gamma      [C]
 * @param t.beta       [C]
 * @param t.sums       of `launchGradStatistics`, or of `launchConv2dGradInputNorm` with `options.ofSamples`
 * @param t.residual   if a residual was added: forward's output y, and dresidual of x's shape, written
 * @param t.dx         of x's shape, written
 */
export function launchGradInput(
  t: {
    x: Tensor;
    dy: Tensor;
    statistics: Tensor;
    gamma: Tensor;
    beta: Tensor;
    sums: Tensor;
    residual?: { y: Tensor; dresidual: Tensor };
    dx: Tensor;
  },
  {
    relu: RELU,
    accumulate: ACCUMULATE,
    accumulateResidual = false,
    ofSamples = false,
    ...place
  }: GradientOptions,
): void {
  const { x, dy, statistics, gamma, beta, sums, residual, dx } = t;
  const { C, HW } = normSize(x);
  const G = place.ghosts.ghosts;
  const spec = element("ghostBatchNorm", HW, { x, dy, dx, ...residual });
  const elements = (largestGhost(place.ghosts) * HW) / spec.WIDTH;
  const { WG_SIZE, ROW, parts } = elementwiseTiles(x.gpu, C * G, elements, 4);
  const overrides = { C, HW, RELU, ACCUMULATE, SPLITS: sums.shape[1]!, WG_SIZE, ROW };
  const params = { ...placeParams(place, statistics), eps: place.eps };
  const workgroups = [C, G, parts] as const;
  const flops = (RELU && !residual ? 8 : 5) * x.size;
  if (!residual) {
    const cost = { flops, bytes: (ACCUMULATE ? 4 : 3) * x.byteLength };
    const buffers = { x, dy, statistics, gamma, beta, sums, dx };
    const parts = sums.shape[1]!;
    const counts = ofSamples ? { SPLITS: 1, TILES: parts } : { SPLITS: parts, TILES: 0 };
    x.gpu.run(GRAD_INPUT, {
      buffers,
      overrides: { ...overrides, ...counts },
      params,
      spec,
      workgroups,
      cost,
    });
    return;
  }
  const tensors = 4 + (RELU ? 1 : 0) + (ACCUMULATE ? 1 : 0) + (accumulateResidual ? 1 : 0);
  x.gpu.run(GRAD_INPUT_ADD, {
    buffers: { x, dy, statistics, gamma, sums, y: residual.y, dx, dresidual: residual.dresidual },
    overrides: { ...overrides, ACCUMULATE_RESIDUAL: accumulateResidual },
    params,
    spec,
    workgroups,
    cost: { flops, bytes: tensors * x.byteLength },
  });
}
