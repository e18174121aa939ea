import {
  type GhostBatchNormCase,
  ghostBatchNormCases,
  ghostBatchNormShape,
} from "../../cases/ghost-batch-norm.ts";
import { caseLabel } from "../../cases/label.ts";
import { runningStatisticsCases } from "../../cases/running-statistics.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { launchForward, launchRunningStatistics, partialsShape } from "../../kernels/ghost-batch-norm.ts";
import { launchBackward } from "../../kernels/ghost-batch-norm-backward.ts";
import { sumsShape } from "../../kernels/ghost-batch-norm-gradients.ts";
import { largest, roundingBound } from "../../reference/close.ts";
import {
  type GhostBatchNormSize,
  ghostBatchNorm,
  ghostBatchNormGradients,
  ghostBatchNormScales,
  ghostRange,
  ghostStatistics,
} from "../../reference/ghost-batch-norm.ts";
import { updateRunningStatistics } from "../../reference/running-statistics.ts";
import { empty, type FloatType, fromArray, readFloats, type Tensor } from "../../tensor/tensor.ts";
import {
  activation,
  EITHER_TYPE,
  numbers,
  type Output,
  type Pass,
  passOf,
  poisoned,
  summed,
} from "../pass.ts";

/** A loose factor: more than any of these sums is rounded by, as a share of its scale. The strict bounds are in test/kernels. */
const FACTOR = 8;

const cost = ({ N, C, H = 1, W = 1 }: GhostBatchNormCase) => ({
  flops: 8 * N * C * H * W,
  bytes: 20 * N * C * H * W,
});

function setUp(gpu: Gpu, one: GhostBatchNormCase, type: FloatType) {
  const { N, C, H = 1, W = 1, mean = 0, deviation = 1, ghostSize, ghosts, eps, relu = false } = one;
  const make = numbers(N * 1000 + C);
  const count = N * C * H * W;
  const host = {
    x: make(count, { mean, deviation }),
    gamma: make(C, { mean: 1, deviation: 0.3 }),
    beta: make(C, { deviation: 0.5 }),
    residual: make(count),
    dy: make(count),
  };
  const shape = ghostBatchNormShape(one);
  const place = (data: Float32Array<ArrayBuffer>, name: string) => activation(gpu, data, shape, name, type);
  const tensors = {
    x: place(host.x, "x"),
    gamma: fromArray(gpu, host.gamma, [C], "gamma"),
    beta: fromArray(gpu, host.beta, [C], "beta"),
    statistics: poisoned(gpu, [ghosts, C, 2], "statistics"),
  };
  const residual = one.residual ? place(host.residual, "residual") : undefined;
  const layout = { ghostSize, ghosts, total: N, firstGhost: 0 };
  const options = { ghosts: layout, firstChannel: 0, eps, relu };
  const size = { N, C, HW: H * W, ghostSize, ghosts, eps, relu };
  const values = one.residual ? host : { x: host.x, gamma: host.gamma, beta: host.beta };
  const scales = () => {
    const plain = ghostBatchNormScales({ ...values, dy: host.dy }, size);
    const spread = shiftedSpread(host.x, size);
    return { y: spread * plain.y, dx: spread * plain.dx, dgamma: spread * plain.dgamma, dbeta: plain.dbeta };
  };
  return { host, values, shape, tensors, residual, place, options, size, scales };
}

/**
 * One-pass sums are taken relative to each group's first value, so their rounding grows with the square of its distance from
 * the mean: 1 + (first − mean)² / variance of the group where that is largest.
 */
function shiftedSpread(x: Float32Array, size: GhostBatchNormSize & { eps: number }): number {
  const { mean, variance } = ghostStatistics(x, size);
  let spread = 1;
  for (let g = 0; g < size.ghosts; g++) {
    const { start } = ghostRange(g, size);
    for (let c = 0; c < size.C; c++) {
      const distance = x[(start * size.C + c) * size.HW]! - mean[g * size.C + c]!;
      spread = Math.max(spread, 1 + distance ** 2 / (variance[g * size.C + c]! + size.eps));
    }
  }
  return spread;
}

type SetUp = ReturnType<typeof setUp>;

function forward({ tensors, residual, options }: SetUp, y: Tensor): void {
  const scratch = partialsShape(tensors.x, options.ghosts);
  const partials = scratch ? empty(tensors.x.gpu, scratch, "f32", "partials") : undefined;
  launchForward({ ...tensors, y, ...(residual && { residual }), ...(partials && { partials }) }, options);
}

function scaled(name: string, tensor: Tensor, values: () => Float64Array, scale: () => number): Output {
  const bound = () => roundingBound({ terms: 1, scale: scale(), factor: FACTOR });
  return { name, tensor, reference: values, bound };
}

export const ghostBatchNormPasses: readonly Pass[] = [
  passOf("ghost-batch-norm/forward", ghostBatchNormCases, {
    label: caseLabel,
    cost,
    types: EITHER_TYPE,
    prepare: (gpu, one, type) => {
      const all = setUp(gpu, one, type);
      const y = poisoned(gpu, all.shape, "y", type);
      const reference = () => ghostBatchNorm(all.values, all.size).y;
      return { launch: () => forward(all, y), outputs: [scaled("y", y, reference, () => all.scales().y)] };
    },
  }),
  passOf("ghost-batch-norm/backward", ghostBatchNormCases, {
    label: caseLabel,
    cost,
    types: EITHER_TYPE,
    prepare: async (gpu, one, type) => {
      const all = setUp(gpu, one, type);
      const { host, tensors, shape, residual, place, options, size, scales } = all;
      const y = poisoned(gpu, shape, "y", type);
      forward(all, y);
      const forwardY = await readFloats(y);
      const dy = place(host.dy, "dy");
      const sumsOf = () => empty(gpu, sumsShape(tensors.x, options.ghosts), "f32", "sums");
      const dx = poisoned(gpu, shape, "dx", type);
      const dgamma = poisoned(gpu, [one.C], "dgamma");
      const dbeta = poisoned(gpu, [one.C], "dbeta");
      const dresidual = residual ? poisoned(gpu, shape, "dresidual", type) : undefined;
      const saved = dresidual ? { residual: { y, dresidual } } : {};
      const written = { accumulate: false, accumulateParameters: false };
      // The GPU may take either slope of a relu at a value that rounds to 0.
      const gradients = () => ghostBatchNormGradients({ ...host, y: forwardY }, size);
      return {
        launch: () =>
          launchBackward(
            { ...tensors, dy, sums: sumsOf(), ...saved, dx, dgamma, dbeta },
            { ...options, ...written },
          ),
        outputs: [
          scaled(
            "dx",
            dx,
            () => gradients().dx,
            () => scales().dx,
          ),
          scaled(
            "dgamma",
            dgamma,
            () => gradients().dgamma,
            () => scales().dgamma,
          ),
          scaled(
            "dbeta",
            dbeta,
            () => gradients().dbeta,
            () => scales().dbeta,
          ),
          ...(dresidual ? [summed("dresidual", dresidual, 1, () => gradients().dresidual)] : []),
        ],
      };
    },
  }),
  passOf("ghost-batch-norm/running-statistics", runningStatisticsCases, {
    label: caseLabel,
    cost: ({ C, ghosts }) => ({ flops: 6 * C * ghosts, bytes: 8 * C * ghosts }),
    prepare: (gpu, one) => {
      const { N, C, HW, ghosts, ghostSize, rule, momentum, averageDeviations = false } = one;
      const make = numbers(C);
      const positive = (count: number) => make(count).map((value) => 0.5 + value * value);
      const host = {
        mean: make(ghosts * C),
        variance: positive(ghosts * C),
        runningMean: make(C),
        runningVariance: positive(C),
      };
      const pairs = new Float32Array(2 * ghosts * C);
      for (let i = 0; i < ghosts * C; i++) pairs.set([host.mean[i]!, host.variance[i]!], 2 * i);
      const tensors = {
        statistics: fromArray(gpu, pairs, [ghosts, C, 2], "statistics"),
        pixels: fromArray(gpu, new Uint32Array(C).fill(HW), [C], "pixels"),
        runningMean: fromArray(gpu, host.runningMean, [C], "runningMean"),
        runningVariance: fromArray(gpu, host.runningVariance, [C], "runningVariance"),
      };
      const size = { N, C, HW, ghosts, ghostSize, rule, momentum, eps: 1e-5, averageDeviations };
      const reference = () => updateRunningStatistics(host, size);
      const bound = (name: "runningMean" | "runningVariance"): Output => ({
        name,
        tensor: tensors[name],
        reference: () => reference()[name],
        bound: (values) => roundingBound({ terms: ghosts, scale: 1 + largest(values), factor: FACTOR }),
      });
      return {
        launch: () =>
          launchRunningStatistics(
            { ...tensors, ghosts: { ghostSize, ghosts, total: N } },
            { rule, momentum, averageDeviation: averageDeviations },
          ),
        outputs: [bound("runningMean"), bound("runningVariance")],
      };
    },
  }),
];
