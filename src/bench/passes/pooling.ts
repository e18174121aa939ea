import { avgPoolCases } from "../../cases/avg-pool.ts";
import { globalAvgPoolCases } from "../../cases/global-avg-pool.ts";
import { caseLabel } from "../../cases/label.ts";
import { type MaxPoolCase, maxPoolCases } from "../../cases/max-pool.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { launchAvgPool, launchAvgPoolGradInput } from "../../kernels/avg-pool.ts";
import { launchGlobalAvgPool, launchGlobalAvgPoolGradInput } from "../../kernels/global-avg-pool.ts";
import { launchMaxPool, launchMaxPoolGradInput } from "../../kernels/max-pool.ts";
import { avgPool, avgPoolGradient } from "../../reference/avg-pool.ts";
import { globalAvgPool, globalAvgPoolGradient } from "../../reference/global-avg-pool.ts";
import { maxPool, maxPoolGradient } from "../../reference/max-pool.ts";
import { type PoolSize, poolOutputSize } from "../../reference/pool-size.ts";
import { type FloatType, fromArray } from "../../tensor/tensor.ts";
import {
  activation,
  EITHER_TYPE,
  exact,
  numbers,
  type Pass,
  passOf,
  poisoned,
  poisonedWords,
  summed,
} from "../pass.ts";

const windows = {
  label: caseLabel,
  types: EITHER_TYPE,
  cost: ({ N, C, H, W, kernel, stride }: PoolSize) => ({
    flops: (N * C * H * W * kernel ** 2) / stride ** 2,
    bytes: 8 * N * C * H * W,
  }),
};

function setUp(gpu: Gpu, size: PoolSize & { ties?: boolean }, type: FloatType) {
  const { N, C, H, W } = size;
  const { P, Q } = poolOutputSize(size);
  const make = numbers(H * 100 + W);
  const drawn = make(N * C * H * W);
  const host = { x: size.ties ? drawn.map(Math.round) : drawn, dy: make(N * C * P * Q) };
  const shapes = { x: [N, C, H, W], y: [N, C, P, Q] };
  return {
    host,
    shapes,
    x: activation(gpu, host.x, shapes.x, "x", type),
    dy: activation(gpu, host.dy, shapes.y, "dy", type),
  };
}

function maxPoolSetUp(gpu: Gpu, size: MaxPoolCase, type: FloatType) {
  const all = setUp(gpu, size, type);
  const reference = maxPool(all.host.x, size);
  return { ...all, reference };
}

const planes = {
  label: caseLabel,
  types: EITHER_TYPE,
  cost: ({ N, C, H, W }: (typeof globalAvgPoolCases)[number]) => ({
    flops: N * C * H * W,
    bytes: 4 * N * C * H * W,
  }),
};

export const poolingPasses: readonly Pass[] = [
  passOf("max-pool/forward", maxPoolCases, {
    ...windows,
    prepare: (gpu, size, type) => {
      const { x, shapes, reference } = maxPoolSetUp(gpu, size, type);
      const y = poisoned(gpu, shapes.y, "y", type);
      const indices = poisonedWords(gpu, shapes.y, "indices");
      return {
        launch: () => launchMaxPool({ x, y, indices }, size),
        outputs: [exact("y", y, () => reference.y), exact("indices", indices, () => reference.indices)],
      };
    },
  }),
  passOf("max-pool/grad-input", maxPoolCases, {
    ...windows,
    prepare: (gpu, size, type) => {
      const { dy, host, shapes, reference } = maxPoolSetUp(gpu, size, type);
      const indices = fromArray(gpu, Uint32Array.from(reference.indices), shapes.y, "indices");
      const dx = poisoned(gpu, shapes.x, "dx", type);
      const gradient = () => maxPoolGradient({ dy: host.dy, indices: reference.indices }, size);
      return {
        launch: () => launchMaxPoolGradInput({ dy, indices, dx }, { ...size, accumulate: false }),
        outputs: [summed("dx", dx, size.kernel ** 2, gradient)],
      };
    },
  }),
  passOf("avg-pool/forward", avgPoolCases, {
    ...windows,
    prepare: (gpu, size, type) => {
      const { x, host, shapes } = setUp(gpu, size, type);
      const y = poisoned(gpu, shapes.y, "y", type);
      const outputs = [summed("y", y, size.kernel ** 2, () => avgPool(host.x, size))];
      return { launch: () => launchAvgPool({ x, y }, size), outputs };
    },
  }),
  passOf("avg-pool/grad-input", avgPoolCases, {
    ...windows,
    prepare: (gpu, size, type) => {
      const { dy, host, shapes } = setUp(gpu, size, type);
      const dx = poisoned(gpu, shapes.x, "dx", type);
      return {
        launch: () => launchAvgPoolGradInput({ dy, dx }, { ...size, accumulate: false }),
        outputs: [summed("dx", dx, size.kernel ** 2, () => avgPoolGradient(host.dy, size))],
      };
    },
  }),
  passOf("global-avg-pool/forward", globalAvgPoolCases, {
    ...planes,
    prepare: (gpu, { N, C, H, W }, type) => {
      const host = numbers(H + W)(N * C * H * W);
      const x = activation(gpu, host, [N, C, H, W], "x", type);
      const y = poisoned(gpu, [N, C], "y");
      return {
        launch: () => launchGlobalAvgPool({ x, y }),
        outputs: [summed("y", y, H * W, () => globalAvgPool(host, { N, C, HW: H * W }))],
      };
    },
  }),
  passOf("global-avg-pool/grad-input", globalAvgPoolCases, {
    ...planes,
    prepare: (gpu, { N, C, H, W }, type) => {
      const host = numbers(H + W)(N * C);
      const dy = fromArray(gpu, host, [N, C], "dy");
      const dx = poisoned(gpu, [N, C, H, W], "dx", type);
      return {
        launch: () => launchGlobalAvgPoolGradInput({ dy, dx }, { accumulate: false }),
        outputs: [summed("dx", dx, 1, () => globalAvgPoolGradient(host, { N, C, HW: H * W }))],
      };
    },
  }),
];
