/** Backward of ghost batch norm in the fewest dispatches, and the gradients of gamma and beta; formulas in ghost-batch-norm-gradients.ts. */
import { defineKernel } from "../gpu/kernel.ts";
import type { ByVariant } from "../gpu/variant.ts";
import { leadingDims } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { element } from "./element.ts";
import {
  denseTiles,
  isDense,
  largestGhost,
  normSize,
  PLACE,
  placeParams,
} from "./ghost-batch-norm-geometry.ts";
import { type GradientOptions, launchGradInput, launchGradStatistics } from "./ghost-batch-norm-gradients.ts";
import { reductionLanes } from "./reduction-tiles.ts";
import { launchSumSegments } from "./sum-segments.ts";

const BACKWARD_NARROW = defineKernel({
  file: "ghost-batch-norm/backward-narrow.wgsl",
  bindings: ["x", "dy", "statistics", "gamma", "beta", "sums", "dx"],
  overrides: ["C", "HW", "RELU", "ACCUMULATE"],
  params: [...PLACE, "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

const BACKWARD_ADD_NARROW = defineKernel({
  file: "ghost-batch-norm/backward-add-narrow.wgsl",
  bindings: ["x", "dy", "y", "statistics", "gamma", "sums", "dx", "dresidual"],
  overrides: ["C", "HW", "RELU", "ACCUMULATE", "ACCUMULATE_RESIDUAL"],
  params: [...PLACE, "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

const GRAD_STATISTICS_ADD = defineKernel({
  file: "ghost-batch-norm/grad-statistics-add.wgsl",
  bindings: ["x", "dy", "y", "statistics", "sums", "dresidual"],
  overrides: ["C", "HW", "RELU", "SPLITS", "WG_SIZE"],
  params: [...PLACE, "eps"],
  spec: ["Element", "Stored", "WIDTH"],
});

const BACKWARD_DENSE = defineKernel({
  file: "ghost-batch-norm/backward-dense.wgsl",
  bindings: ["x", "dy", "statistics", "gamma", "beta", "sums", "dx"],
  overrides: ["C", "RELU", "ACCUMULATE", "COLUMNS", "ROWS"],
  params: [...PLACE, "eps"],
  spec: ["Stored"],
});

/** The rows of `sums` that add up to a gradient. */
export interface SumRows {
  readonly rows: number;
  /** Numbers before the first row. */
  readonly offset: number;
  readonly rowStride: number;
  readonly columnStride: number;
}

/** The layout of `sums`: `launchGradStatistics` writes pairs; the kernel for layers without pixels writes planes of [C]. */
type SumsLayout = "pairs" | "planes";

function layoutOf({ x, residual }: { x: Tensor; residual?: unknown }): SumsLayout {
  const { C, HW } = normSize(x);
  return isDense(C, HW) && !residual ? "planes" : "pairs";
}

/** Where dgamma and dbeta are in `sums` after `launchBackwardPasses`; for a layer without pixels also Σ dx over the samples. */
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

/** Up to this many groups, two passes are faster: a single pass has one workgroup per group, too few for a processor's cores. */
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
  else if (C * options.ghosts.ghosts > FEW_GROUPS[x.gpu.baseVariant]) launchNarrow(t, options);
  else if (x.gpu.baseVariant === "wide" && residual && !options.accumulateResidual) {
    const { residual: _, ...rest } = t;
    launchGradStatisticsAdd({ ...t, residual }, options);
    launchGradInput({ ...rest, dy: residual.dresidual }, { ...options, relu: false });
  } else {
    launchGradStatistics({ ...t, y: residual?.y }, options);
    launchGradInput(t, options);
  }
}

/** `launchGradStatistics`, which also writes dresidual = dy'; `launchGradInput` then reads that instead of dy and y. */
function launchGradStatisticsAdd(
  t: Parameters<typeof launchGradInput>[0] & { residual: { y: Tensor; dresidual: Tensor } },
  options: GradientOptions,
): void {
  const { x, dy, statistics, sums, residual } = t;
  const { relu: RELU, ghosts } = options;
  const { C, HW } = normSize(x);
  const spec = element("ghostBatchNorm", HW, { x, dy, ...residual });
  const SPLITS = sums.shape[1]!;
  const elements = (largestGhost(ghosts) * HW) / spec.WIDTH;
  const WG_SIZE = reductionLanes(x.gpu, C * ghosts.ghosts * SPLITS, elements / SPLITS);
  x.gpu.run(GRAD_STATISTICS_ADD, {
    buffers: { x, dy, y: residual.y, statistics, sums, dresidual: residual.dresidual },
    overrides: { C, HW, RELU, SPLITS, WG_SIZE },
    params: { ...placeParams(options, statistics), eps: options.eps },
    spec,
    workgroups: [C, ghosts.ghosts, SPLITS],
    cost: { flops: 4 * x.size, bytes: (RELU ? 4 : 3) * x.byteLength },
  });
}

/** As `launchBackwardPasses`, then dgamma and dbeta [C], written or added to. */
export function launchBackward(
  t: Parameters<typeof launchGradInput>[0] & { dgamma: Tensor; dbeta: Tensor },
  options: GradientOptions,
): void {
  launchBackwardPasses(t, options);
  launchGradParameters(t, options);
}

/** dgamma and dbeta [C], written or added to, from `sums`; `layout` if it is not that of `launchBackwardPasses`. */
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
    spec: { Stored: element("ghostBatchNorm", C, { x, dy, dx }).Stored },
    workgroups: [Math.ceil(C / (4 * COLUMNS)), options.ghosts.ghosts],
    cost: {
      flops: (options.relu ? 16 : 10) * x.size,
      bytes: (options.accumulate ? 4 : 3) * x.byteLength,
    },
  });
}

function launchNarrow(t: Parameters<typeof launchGradInput>[0], options: GradientOptions): void {
  const { x, dy, statistics, gamma, beta, sums, residual, dx } = t;
  const { relu: RELU, accumulate: ACCUMULATE, accumulateResidual = false } = options;
  const { C, HW } = normSize(x);
  const overrides = { C, HW, RELU, ACCUMULATE };
  const params = { ...placeParams(options, statistics), eps: options.eps };
  const spec = element("ghostBatchNorm", HW, { x, dy, dx, ...residual });
  const workgroups = [C, options.ghosts.ghosts] as const;
  if (!residual) {
    const buffers = { x, dy, statistics, gamma, beta, sums, dx };
    const cost = { flops: (RELU ? 15 : 9) * x.size, bytes: (ACCUMULATE ? 4 : 3) * x.byteLength };
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
    cost: { flops: 9 * x.size, bytes: tensors * x.byteLength },
  });
}
