import { addCases } from "../../cases/add.ts";
import { caseLabel } from "../../cases/label.ts";
import { reluCases } from "../../cases/relu.ts";
import { launchChannelBias, launchChannelBiasGrad } from "../../kernels/channel-bias.ts";
import { launchAdd, launchRelu, launchReluGrad } from "../../kernels/elementwise.ts";
import { add } from "../../reference/add.ts";
import { conv2dBiasGradient } from "../../reference/conv2d.ts";
import { relu, reluGradient } from "../../reference/relu.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { fromArray } from "../../tensor/tensor.ts";
import { activation, EITHER_TYPE, exact, numbers, type Pass, passOf, poisoned, summed } from "../pass.ts";

const cost = ({ shape }: { shape: readonly number[] }) => ({
  flops: sizeOf(shape),
  bytes: 12 * sizeOf(shape),
});

/** Outputs of the convolutions that have a bias, N C H W. */
const BIASED = [
  { N: 3, C: 5, H: 3, W: 7 },
  { N: 1, C: 67, H: 1, W: 1 },
  { N: 128, C: 64, H: 32, W: 32, network: "c1", paper: true },
];

const biased = {
  label: caseLabel,
  cost: ({ N, C, H, W }: (typeof BIASED)[number]) => ({ flops: N * C * H * W, bytes: 8 * N * C * H * W }),
};

export const elementwisePasses: readonly Pass[] = [
  passOf(
    "elementwise/add",
    addCases.filter((one) => !one.relu || one.paper),
    {
      label: caseLabel,
      cost,
      types: EITHER_TYPE,
      prepare: (gpu, { shape }, type) => {
        const make = numbers(sizeOf(shape));
        const host = { a: make(sizeOf(shape)), b: make(sizeOf(shape)) };
        const a = activation(gpu, host.a, shape, "a", type);
        const b = activation(gpu, host.b, shape, "b", type);
        const y = poisoned(gpu, shape, "y", type);
        return { launch: () => launchAdd({ a, b, y }), outputs: [summed("y", y, 1, () => add(host))] };
      },
    },
  ),
  passOf("elementwise/relu", reluCases, {
    label: caseLabel,
    cost,
    types: EITHER_TYPE,
    prepare: (gpu, { shape }, type) => {
      const host = numbers(sizeOf(shape))(sizeOf(shape));
      const x = activation(gpu, host, shape, "x", type);
      const y = poisoned(gpu, shape, "y", type);
      return { launch: () => launchRelu({ x, y }), outputs: [exact("y", y, () => relu(host))] };
    },
  }),
  passOf("elementwise/relu-grad", reluCases, {
    label: caseLabel,
    cost,
    types: EITHER_TYPE,
    prepare: (gpu, { shape }, type) => {
      const make = numbers(sizeOf(shape));
      const host = { x: make(sizeOf(shape)), dy: make(sizeOf(shape)) };
      const y = activation(gpu, host.x, shape, "y", type);
      const dy = activation(gpu, host.dy, shape, "dy", type);
      const dx = poisoned(gpu, shape, "dx", type);
      return {
        launch: () => launchReluGrad({ y, dy, dx }, { accumulate: false }),
        outputs: [exact("dx", dx, () => reluGradient(host))],
      };
    },
  }),
  passOf("channel-bias/add", BIASED, {
    ...biased,
    types: EITHER_TYPE,
    prepare: (gpu, { N, C, H, W }, type) => {
      const make = numbers(N + C);
      const shape = [N, C, H, W];
      const host = { x: make(sizeOf(shape)), bias: make(C) };
      const x = activation(gpu, host.x, shape, "x", type);
      const bias = fromArray(gpu, host.bias, [C], "bias");
      const y = poisoned(gpu, shape, "y", type);
      const spread = () => host.x.map((_, i) => host.bias[Math.floor(i / (H * W)) % C]!);
      return {
        launch: () => launchChannelBias({ x, bias, y }),
        outputs: [summed("y", y, 1, () => add({ a: host.x, b: spread() }))],
      };
    },
  }),
  passOf("channel-bias/grad-bias", BIASED, {
    ...biased,
    types: EITHER_TYPE,
    prepare: (gpu, { N, C, H, W }, type) => {
      const host = numbers(N + C)(N * C * H * W);
      const dy = activation(gpu, host, [N, C, H, W], "dy", type);
      const dbias = poisoned(gpu, [C], "dbias");
      const size = { N, C, H, W, K: C, R: 1, S: 1, stride: 1, padding: 0 };
      return {
        launch: () => launchChannelBiasGrad({ dy, dbias }, { accumulate: false }),
        outputs: [summed("dbias", dbias, N * H * W, () => conv2dBiasGradient(host, size))],
      };
    },
  }),
];
