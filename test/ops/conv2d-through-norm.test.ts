// Gradients of convolutions and norms in a row, in the wide variant, where a convolution's input gradient also goes back through a
// norm: against the same network with a separate kernel for each.

import { beforeAll, expect, test, vi } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { conv2d } from "../../src/ops/conv2d.ts";
import { ghostBatchNorm } from "../../src/ops/ghost-batch-norm.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, persistent, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
import { differentiate, intermediate, parameter, poisonAllocations } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  gpu.variant = "wide";
  poisonAllocations(gpu);
  return () => gpu.close();
});

const [N, C, SIDE] = [6, 8, 16];
const SHAPE = [N, C, SIDE, SIDE];
const GHOSTS = { ghostSize: 4, ghosts: 2, total: N, firstGhost: 0 };
const CONVOLUTION = { stride: 1, padding: 1 };
const GO_BACK = "conv2d/grad-input-norm-patch.wgsl";

type Layer = (x: Tensor, residual?: Tensor) => Tensor;

/** `body` of layers, each a convolution, then a norm with relu; its output and the gradients of x and all parameters. */
function network(body: (x: Tensor, layer: Layer) => Tensor) {
  const data = randomData(7);
  const x = intermediate(gpu, data.normals(N * C * SIDE * SIDE), SHAPE);
  const dy = fromArray(gpu, data.normals(N * C * SIDE * SIDE), SHAPE);
  const parameters: Tensor[] = [];
  let made = 0;
  const next = (shape: readonly number[], mean: number) => {
    const size = shape.reduce((product, side) => product * side, 1);
    parameters[made] ??= parameter(gpu, data.normals(size, { mean, deviation: 0.3 }), shape);
    return parameters[made++]!;
  };
  const statistics = persistent(gpu, [2, 64, 2]);
  const layer: Layer = (input, residual) => {
    const firstChannel = C * (made / 3);
    const h = conv2d(input, next([C, C, 3, 3], 0), CONVOLUTION);
    const [gamma, beta] = [next([C], 1), next([C], 0)];
    return ghostBatchNorm(h, gamma, beta, {
      ghosts: GHOSTS,
      statistics,
      firstChannel,
      eps: 1e-5,
      relu: true,
      residual,
    });
  };
  const run = () => {
    made = 0;
    return differentiate(() => conv2d(body(x, layer), next([C, C, 3, 3], 0), CONVOLUTION), dy);
  };
  return { x, parameters, run };
}

async function expectSameGradients(body: (x: Tensor, layer: Layer) => Tensor, through: number) {
  const { x, parameters, run } = network(body);
  const gradients = async () => {
    const { tape } = run();
    return Promise.all([tape.gradientOf(x)!, ...parameters.map(({ gradient }) => gradient!)].map(readFloats));
  };
  const dispatches = vi.spyOn(gpu, "run");
  const found = await gradients();
  expect(dispatches.mock.calls.filter(([{ file }]) => file === GO_BACK).length).toBe(through);
  dispatches.mockRestore();
  gpu.specialized = false;
  const expected = await gradients().finally(() => {
    gpu.specialized = true;
  });
  for (const [index, wanted] of expected.entries()) {
    const scale = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(scale).toBeGreaterThan(0);
    expectClose(found[index]!, wanted, { bound: 2e-5 * scale, label: `gradient ${index}` });
  }
}

test("a residual block: dresidual reuses the memory of dy, and the next convolution adds to it", () =>
  expectSameGradients((x, layer) => {
    const h = layer(x);
    return layer(layer(h), h);
  }, 3));

test("two blocks, whose gradients are added in the same memory", () =>
  expectSameGradients((x, layer) => {
    const a = layer(x);
    const b = layer(layer(a), a);
    return layer(layer(b), b);
  }, 5));

test("a residual that two norms add: its second gradient is added to the first, so that norm uses its own passes", () =>
  expectSameGradients((x, layer) => {
    const h = layer(x);
    return layer(layer(h, h), h);
  }, 2));

test("a norm whose output has another reader: its gradient is complete only after a later dispatch", () =>
  expectSameGradients((x, layer) => {
    const h = layer(x);
    return layer(layer(h), layer(h));
  }, 2));
