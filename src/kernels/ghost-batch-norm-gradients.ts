/**
 * Ghost batch norm, backward. With dy' the incoming gradient behind the fused relu, x̂ the normalized x, and all sums over
 * one channel of one ghost of M values:
 *
 *   dx = gamma / √(variance + eps) · (dy' − Σdy'/M − x̂ · Σdy'x̂/M)
 *   dgamma = Σ over the ghosts of Σdy'x̂,  dbeta = Σ over the ghosts of Σdy',  dresidual = dy'
 *
 * Source: Hoffer et al. 2017, Algorithm 1; its derivative as in Ioffe and Szegedy 2015, section 3.
 */
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import { leadingDims } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import {
  denseTiles,
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
import { element, reductionLanes } from "./reduction-tiles.ts";
import { launchSumSegments } from "./sum-segments.ts";

const GRAD_STATISTICS = defineKernel({
  file: "ghost-batch-norm/grad-statistics.wgsl",
  bindings: ["x", "dy", "y", "statistics", "gamma", "beta", "sums"],
  overrides: ["C", "HW", "GATE", "SPLITS", "WG_SIZE"],
  params: [...PLACE, "eps"],
  spec: ["Element", "WIDTH"],
});

const GRAD_STATISTICS_NARROW = defineKernel({
  file: "ghost-batch-norm/grad-statistics-narrow.wgsl",
  bindings: ["x", "dy", "y", "statistics", "gamma", "beta", "sums"],
  overrides: ["C", "HW", "GATE"],
  params: [...PLACE, "eps"],
  spec: ["Element", "WIDTH"],
});

const GRAD_INPUT = defineKernel({
  file: "ghost-batch-norm/grad-input.wgsl",
  bindings: ["x", "dy", "statistics", "gamma", "beta", "sums", "dx"],
  overrides: ["C", "HW", "RELU", "ACCUMULATE", "SPLITS", "WG_SIZE", "ROW"],
  params: [...PLACE, "eps"],
  spec: ["Element", "WIDTH"],
});

const GRAD_INPUT_ADD = defineKernel({
  file: "ghost-batch-norm/grad-input-add.wgsl",
  bindings: ["x", "dy", "y", "statistics", "gamma", "sums", "dx", "dresidual"],
  overrides: ["C", "HW", "RELU", "ACCUMULATE", "ACCUMULATE_RESIDUAL", "SPLITS", "WG_SIZE", "ROW"],
  params: [...PLACE, "eps"],
  spec: ["Element", "WIDTH"],
});

const BACKWARD_NARROW = defineKernel({
  file: "ghost-batch-norm/backward-narrow.wgsl",
  bindings: ["x", "dy", "statistics", "gamma", "beta", "sums", "dx"],
  overrides: ["C", "HW", "RELU", "ACCUMULATE"],
  params: [...PLACE, "eps"],
  spec: ["Element", "WIDTH"],
});

const BACKWARD_ADD_NARROW = defineKernel({
  file: "ghost-batch-norm/backward-add-narrow.wgsl",
  bindings: ["x", "dy", "y", "statistics", "gamma", "sums", "dx", "dresidual"],
  overrides: ["C", "HW", "RELU", "ACCUMULATE", "ACCUMULATE_RESIDUAL"],
  params: [...PLACE, "eps"],
  spec: ["Element", "WIDTH"],
});

const BACKWARD_DENSE = defineKernel({
  file: "ghost-batch-norm/backward-dense.wgsl",
  bindings: ["x", "dy", "statistics", "gamma", "beta", "sums", "dx"],
  overrides: ["C", "RELU", "ACCUMULATE", "COLUMNS", "ROWS"],
  params: [...PLACE, "eps"],
});

/**
 * Shape of the tensor `sums`: [G, splits, C, 2], (Σ dy', Σ dy'·x̂) of each group, or of each of the parts of it that several
 * workgroups add up. Of a layer without pixels [G, 1, C, 3], used as [G, 3, C] with Σ dx as the third.
 */
export function sumsShape(x: Tensor, ghosts: Ghosts): readonly number[] {
  const { C, HW } = normSize(x);
  if (isDense(C, HW)) return [ghosts.ghosts, 1, C, 3];
  // 2^15 values: what a workgroup of 1024 lanes reads in about the time that starting one takes. At most 16, since
  // every workgroup of the second pass adds the parts up.
  return [ghosts.ghosts, Math.min(16, splitsOf(x, ghosts, 2 ** 15)), C, 2];
}

/** Where the rows of `sums` lie whose sum is a gradient. */
export interface SumRows {
  readonly rows: number;
  /** Numbers before the first. */
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** What wrote `sums`: `launchGradStatistics` pairs, the kernel for layers without pixels planes of [C]. */
type SumsLayout = "pairs" | "planes";

function layoutOf({ x, residual }: { x: Tensor; residual?: unknown }): SumsLayout {
  const { C, HW } = normSize(x);
  return isDense(C, HW) && !residual ? "planes" : "pairs";
}

/** Where dgamma and dbeta are in `sums` behind `launchBackwardPasses`, and of a layer without pixels Σ dx over the samples. */
export function rowsOfSums(
  t: { x: Tensor; sums: Tensor; residual?: unknown },
  layout: SumsLayout = layoutOf(t),
): {
  readonly dbeta: SumRows;
  readonly dgamma: SumRows;
  readonly dx: SumRows | null;
} {
  const { C } = normSize(t.x);
  const [ghosts, splits] = leadingDims("ghostBatchNorm: sums", t.sums.shape, 2);
  if (layout === "planes") {
    const plane = (index: number) => ({ rows: ghosts, offset: index * C, rowStride: 3 * C, columnStride: 1 });
    return { dbeta: plane(0), dgamma: plane(1), dx: plane(2) };
  }
  const half = (offset: number) => ({ rows: ghosts * splits, offset, rowStride: 2 * C, columnStride: 2 });
  return { dbeta: half(0), dgamma: half(1), dx: null };
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
  const spec = element(HW);
  const cost = { flops: (GATE === 1 ? 7 : 4) * x.size, bytes: (GATE === 2 ? 12 : 8) * x.size };
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
  ({ narrow, wide })[x.gpu.variant]();
}

/** What backward adds to instead of overwriting it. */
export interface GradientOptions extends NormOptions {
  /** dx += */
  readonly accumulate: boolean;
  /** dresidual += */
  readonly accumulateResidual?: boolean;
  /** dgamma += and dbeta +=, as for the second slab of a batch. */
  readonly accumulateParameters?: boolean;
}

/**
 * dx (formula above), and dresidual = dy' where there was a residual.
 *
 * @param t.x          [N, C, …], forward's input
 * @param t.dy         of x's shape, the gradient of y
 * @param t.statistics [rows, totalChannels, 2] of forward
 * @param t.gamma      [C]
 * @param t.beta       [C]
 * @param t.sums       of `launchGradStatistics`
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
  { relu: RELU, accumulate: ACCUMULATE, accumulateResidual = false, ...place }: GradientOptions,
): void {
  const { x, dy, statistics, gamma, beta, sums, residual, dx } = t;
  const { C, HW } = normSize(x);
  const G = place.ghosts.ghosts;
  const spec = element(HW);
  const elements = (largestGhost(place.ghosts) * HW) / spec.WIDTH;
  const { WG_SIZE, ROW, parts } = elementwiseTiles(x.gpu, C * G, elements, 4);
  const overrides = { C, HW, RELU, ACCUMULATE, SPLITS: sums.shape[1]!, WG_SIZE, ROW };
  const params = { ...placeParams(place, statistics), eps: place.eps };
  const workgroups = [C, G, parts] as const;
  const flops = (RELU && !residual ? 8 : 5) * x.size;
  if (!residual) {
    const cost = { flops, bytes: (ACCUMULATE ? 16 : 12) * x.size };
    const buffers = { x, dy, statistics, gamma, beta, sums, dx };
    x.gpu.run(GRAD_INPUT, { buffers, overrides, params, spec, workgroups, cost });
    return;
  }
  const tensors = 4 + (RELU ? 1 : 0) + (ACCUMULATE ? 1 : 0) + (accumulateResidual ? 1 : 0);
  x.gpu.run(GRAD_INPUT_ADD, {
    buffers: { x, dy, statistics, gamma, sums, y: residual.y, dx, dresidual: residual.dresidual },
    overrides: { ...overrides, ACCUMULATE_RESIDUAL: accumulateResidual },
    params,
    spec,
    workgroups,
    cost: { flops, bytes: 4 * tensors * x.size },
  });
}

/** Groups up to which two passes with more workgroups are faster: one workgroup has a group, and a processor's cores want several. */
const FEW_GROUPS: ByVariant<number> = { narrow: 8, wide: Number.POSITIVE_INFINITY };

/**
 * dx, dresidual and `sums` in the fewest dispatches: one for a layer without pixels and on narrow adapters, else two. dgamma and
 * dbeta are sums over rows of `sums` (`rowsOfSums`), which the layers of a network can leave to one dispatch for all of them.
 * Arguments as for `launchGradStatistics` and `launchGradInput`.
 */
export function launchBackwardPasses(
  t: Parameters<typeof launchGradInput>[0],
  options: GradientOptions,
): void {
  const { x, residual } = t;
  const { C } = normSize(x);
  if (layoutOf(t) === "planes") launchDense(t, options);
  else if (C * options.ghosts.ghosts > FEW_GROUPS[x.gpu.variant]) launchNarrow(t, options);
  else {
    launchGradStatistics({ ...t, y: residual?.y }, options);
    launchGradInput(t, options);
  }
}

/** As `launchBackwardPasses`, then dgamma and dbeta [C], written or added to. */
export function launchBackward(
  t: Parameters<typeof launchGradInput>[0] & { dgamma: Tensor; dbeta: Tensor },
  options: GradientOptions,
): void {
  launchBackwardPasses(t, options);
  launchGradParameters(t, options);
}

/** dgamma and dbeta [C], written or added to, from `sums`; `layout` where it is not what `launchBackwardPasses` leaves. */
export function launchGradParameters(
  t: { x: Tensor; sums: Tensor; residual?: unknown; dgamma: Tensor; dbeta: Tensor },
  { accumulateParameters: accumulate = false }: { accumulateParameters?: boolean },
  layout: SumsLayout = layoutOf(t),
): void {
  const { dgamma, dbeta } = rowsOfSums(t, layout);
  launchSumSegments(t.sums, [
    { ...dgamma, y: t.dgamma, accumulate },
    { ...dbeta, y: t.dbeta, accumulate },
  ]);
}

function launchDense(t: Parameters<typeof launchGradInput>[0], options: GradientOptions): void {
  const { x, dy, statistics, gamma, beta, sums, dx } = t;
  const { C } = normSize(x);
  const { COLUMNS, ROWS } = denseTiles(x.gpu, C, options.ghosts);
  x.gpu.run(BACKWARD_DENSE, {
    buffers: { x, dy, statistics, gamma, beta, sums, dx },
    overrides: { C, RELU: options.relu, ACCUMULATE: options.accumulate, COLUMNS, ROWS },
    params: { ...placeParams(options, statistics), eps: options.eps },
    workgroups: [Math.ceil(C / (4 * COLUMNS)), options.ghosts.ghosts],
    cost: { flops: (options.relu ? 16 : 10) * x.size, bytes: (options.accumulate ? 16 : 12) * x.size },
  });
}

function launchNarrow(t: Parameters<typeof launchGradInput>[0], options: GradientOptions): void {
  const { x, dy, statistics, gamma, beta, sums, residual, dx } = t;
  const { relu: RELU, accumulate: ACCUMULATE, accumulateResidual = false } = options;
  const { C, HW } = normSize(x);
  const overrides = { C, HW, RELU, ACCUMULATE };
  const params = { ...placeParams(options, statistics), eps: options.eps };
  const spec = element(HW);
  const workgroups = [C, options.ghosts.ghosts] as const;
  if (!residual) {
    const buffers = { x, dy, statistics, gamma, beta, sums, dx };
    const cost = { flops: (RELU ? 15 : 9) * x.size, bytes: (ACCUMULATE ? 16 : 12) * x.size };
    x.gpu.run(BACKWARD_NARROW, { buffers, overrides, params, spec, workgroups, cost });
    return;
  }
  const { y, dresidual } = residual;
  const tensors = 4 + (RELU ? 1 : 0) + (ACCUMULATE ? 1 : 0) + (accumulateResidual ? 1 : 0);
  x.gpu.run(BACKWARD_ADD_NARROW, {
    buffers: { x, dy, y, statistics, gamma, sums, dx, dresidual },
    overrides: { ...overrides, ACCUMULATE_RESIDUAL: accumulateResidual },
    params,
    spec,
    workgroups,
    cost: { flops: 9 * x.size, bytes: 4 * tensors * x.size },
  });
}
