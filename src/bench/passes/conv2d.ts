import { type Conv2dCase, conv2dCases } from "../../cases/conv2d.ts";
import { caseLabel } from "../../cases/label.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { launchConv2d, launchConv2dGradInput } from "../../kernels/conv2d.ts";
import { conv2dGeometry } from "../../kernels/conv2d-geometry.ts";
import { gradWeightPartials, launchConv2dGradWeight } from "../../kernels/conv2d-grad-weight.ts";
import { momentsLayout } from "../../kernels/conv2d-moments.ts";
import { launchMergedStatistics, launchStatistics } from "../../kernels/ghost-batch-norm.ts";
import { roundingBound } from "../../reference/close.ts";
import {
  conv2d,
  conv2dInputGradient,
  conv2dOutputSize,
  conv2dWeightGradient,
} from "../../reference/conv2d.ts";
import { ghostStatistics } from "../../reference/ghost-batch-norm.ts";
import { float16Step } from "../../support/float16.ts";
import { dims } from "../../tensor/shape.ts";
import { empty, type FloatType } from "../../tensor/tensor.ts";
import { activation, EITHER_TYPE, numbers, type Pass, passOf, poisoned, summed, weights } from "../pass.ts";

/** Samples per ghost, if there are that many. */
const GHOST = 16;

function setUp(gpu: Gpu, size: Conv2dCase, type: FloatType) {
  const { N, C, H, W, K, R, S, stride, padding } = size;
  const { P, Q } = conv2dOutputSize(size);
  const make = numbers(N * 1000 + K);
  const host = {
    x: make(N * C * H * W, { mean: 0.2 }),
    weight: make(K * C * R * S),
    dy: make(N * K * P * Q),
  };
  const shapes = { x: [N, C, H, W], weight: [K, C, R, S], y: [N, K, P, Q] };
  const x = activation(gpu, host.x, shapes.x, "x", type);
  const weight = weights(gpu, host.weight, shapes.weight, "weight", type);
  const dy = activation(gpu, host.dy, shapes.y, "dy", type);
  return { host, shapes, x, weight, dy, pixels: N * P * Q, options: { stride, padding } };
}

const label = (size: Conv2dCase) => caseLabel(size);

function cost(size: Conv2dCase) {
  const { N, C, H, W, K, R, S } = size;
  const { P, Q } = conv2dOutputSize(size);
  return { flops: 2 * N * K * P * Q * C * R * S, bytes: 4 * (N * C * H * W + N * K * P * Q + K * C * R * S) };
}

export const conv2dPasses: readonly Pass[] = [
  passOf("conv2d/forward", conv2dCases, {
    label,
    cost,
    types: EITHER_TYPE,
    prepare: (gpu, size, type) => {
      const { host, shapes, x, weight, options } = setUp(gpu, size, type);
      const y = poisoned(gpu, shapes.y, "y", type);
      return {
        launch: () => launchConv2d({ x, weight, y }, options),
        outputs: [summed("y", y, size.C * size.R * size.S, () => conv2d(host, size))],
      };
    },
  }),
  passOf("conv2d/forward-with-statistics", conv2dCases, {
    label,
    cost,
    types: EITHER_TYPE,
    prepare: (gpu, size, type) => {
      const { host, shapes, x, weight, options } = setUp(gpu, size, type);
      const [N, K, P, Q] = dims("y", shapes.y, 4);
      const ghosts = Math.max(1, Math.floor(N / GHOST));
      const place = { ghosts: { ghostSize: GHOST, ghosts, total: N }, firstChannel: 0 };
      const y = poisoned(gpu, shapes.y, "y", type);
      const statistics = poisoned(gpu, [ghosts, K, 2], "statistics");
      const launch = () => {
        const layout = momentsLayout(gpu, conv2dGeometry(shapes.x, shapes.weight, options), y.dtype);
        if (layout === null) {
          launchConv2d({ x, weight, y }, options);
          launchStatistics({ x: y, statistics }, place);
          return;
        }
        const tensor = empty(gpu, [N, layout.tiles, K, 2], "f32", "moments");
        launchConv2d({ x, weight, y, moments: tensor }, options);
        launchMergedStatistics({ moments: { tensor, pixels: layout.pixels }, statistics }, place);
      };
      let computed: Float64Array | null = null; // shared by the comparisons of both outputs
      const reference = () => {
        computed ??= conv2d(host, size);
        return computed;
      };
      const terms = size.C * size.R * size.S;
      const statisticsReference = () => {
        const found = reference();
        const moments = ghostStatistics(found, { N, C: K, HW: P * Q, ghostSize: GHOST, ghosts });
        return Float64Array.from({ length: 2 * ghosts * K }, (_, i) =>
          i % 2 === 0 ? moments.mean[i / 2]! : moments.variance[(i - 1) / 2]!,
        );
      };
      const bound = (values: ArrayLike<number>) => {
        let scale = 0; // of y: a few standard deviations from its mean
        for (let i = 0; i < values.length; i += 2)
          scale = Math.max(scale, Math.abs(values[i]!) + 5 * Math.sqrt(Math.max(0, values[i + 1]!)));
        // If they are computed from y as stored, its rounding moves a mean by the same amount, and a variance by twice that
        // times a deviation.
        const stored = type === "f16" ? (float16Step(scale) / 2) * Math.max(1, 2 * scale) : 0;
        return stored + roundingBound({ terms, scale: Math.max(scale, scale ** 2) });
      };
      const made = { name: "statistics", tensor: statistics, reference: statisticsReference, bound };
      return { launch, outputs: [summed("y", y, terms, reference), made] };
    },
  }),
  passOf("conv2d/grad-input", conv2dCases, {
    label,
    cost,
    types: EITHER_TYPE,
    prepare: (gpu, size, type) => {
      const { host, shapes, dy, weight, options } = setUp(gpu, size, type);
      const dx = poisoned(gpu, shapes.x, "dx", type);
      return {
        launch: () => launchConv2dGradInput({ dy, weight, dx }, options),
        outputs: [summed("dx", dx, size.K * size.R * size.S, () => conv2dInputGradient(host, size))],
      };
    },
  }),
  passOf("conv2d/grad-weight", conv2dCases, {
    label,
    cost,
    types: EITHER_TYPE,
    prepare: (gpu, size, type) => {
      const { host, shapes, x, dy, pixels, options } = setUp(gpu, size, type);
      const dweight = poisoned(gpu, shapes.weight, "dweight");
      return {
        launch: () => {
          // The number of partial sums depends on the variant that is launched.
          const { elements } = gradWeightPartials(x, shapes.weight, options);
          const partials = empty(gpu, [elements], "f32", "partials");
          launchConv2dGradWeight({ x, dy, partials, dweight }, options);
        },
        outputs: [summed("dweight", dweight, pixels, () => conv2dWeightGradient(host, size))],
      };
    },
  }),
];
