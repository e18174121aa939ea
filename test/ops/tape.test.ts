// The tape's rules for several gradients of one tensor: sums, shared memory, parameters used twice.

import { beforeAll, expect, test, vi } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { add } from "../../src/ops/add.ts";
import { flatten } from "../../src/ops/flatten.ts";
import { ghostBatchNorm } from "../../src/ops/ghost-batch-norm.ts";
import { linear } from "../../src/ops/linear.ts";
import { relu } from "../../src/ops/relu.ts";
import { Tape } from "../../src/ops/tape.ts";
import {
  ghostBatchNorm as batchNormReference,
  ghostBatchNormGradients,
} from "../../src/reference/ghost-batch-norm.ts";
import { linearGradients, linear as linearReference } from "../../src/reference/linear.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, persistent, readFloats, type Tensor } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";
import { differentiate, intermediate, parameter, poisonAllocations } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

// Small whole numbers: every sum of them is exact, so gradients are compared without a tolerance.
const X = new Float32Array([3, -2, 5, -7, 0, 1]);
const DY = new Float32Array([1, 2, 4, 8, 16, 32]);

// How many times x's gradient contains dy, where x > 0 and elsewhere.
const MEETINGS: Record<string, { body: (x: Tensor) => Tensor; above: number; below: number }> = {
  "x + x": { body: (x) => add(x, x), above: 2, below: 2 },
  "relu(x) + relu(x)": { body: (x) => add(relu(x), relu(x)), above: 2, below: 0 },
  "x + relu(x), shared first": { body: (x) => add(x, relu(x)), above: 2, below: 1 },
  "relu(x) + x, shared last": { body: (x) => add(relu(x), x), above: 2, below: 1 },
  "(x + x) + x": { body: (x) => add(add(x, x), x), above: 3, below: 3 },
  "relu of the sum, and x twice more": {
    body: (x) => add(add(relu(x), x), add(x, relu(x))),
    above: 4,
    below: 2,
  },
  "three times the sum of x and itself": {
    body: (x) => {
      const twice = add(x, x);
      return add(add(twice, twice), twice);
    },
    above: 6,
    below: 6,
  },
  "through another shape": { body: (x) => add(flatten(x), flatten(x)), above: 2, below: 2 },
  "once, through a residual of a residual": {
    body: (x) => {
      const h = add(relu(x), x);
      return add(relu(h), h); // where x > 0, h = 2x is positive too; elsewhere h = x is not
    },
    above: 4,
    below: 1,
  },
};

test.each(Object.entries(MEETINGS))("%s", async (_, { body, above, below }) => {
  const x = intermediate(gpu, X, [2, 3]);
  const dy = fromArray(gpu, DY, [2, 3]);
  const { tape } = differentiate(() => body(x), dy);
  const expected = DY.map((gradient, i) => gradient * (X[i]! > 0 ? above : below));
  expect(await readFloats(tape.gradientOf(x)!)).toEqual(expected);
  expect(await readFloats(dy), "the incoming gradient is only read").toEqual(DY);
});

test("gradients of two inputs of an addition do not share memory if one of them gets more contributions", async () => {
  const [a, b] = [intermediate(gpu, X, [6]), intermediate(gpu, X, [6])];
  const { tape } = differentiate(() => add(relu(a), add(a, b)), fromArray(gpu, DY));
  expect(await readFloats(tape.gradientOf(b)!)).toEqual(DY);
  expect(await readFloats(tape.gradientOf(a)!)).toEqual(
    DY.map((gradient, i) => gradient * (X[i]! > 0 ? 2 : 1)),
  );
});

test("a parameter used twice: the first write of a step overwrites, the second adds, slabs add to both", async () => {
  const [N, D] = [5, 7];
  const data = randomData(1);
  const host = {
    x: data.normals(N * D),
    weight: data.normals(D * D),
    bias: data.normals(D),
    dy: data.normals(N * D),
    held: data.normals(D * D),
  };
  const size = { N, I: D, O: D };
  const inner = Float32Array.from(linearReference(host, size));
  const outer = linearGradients({ ...host, x: inner }, size);
  const own = linearGradients({ ...host, dy: outer.dx }, size);
  const x = intermediate(gpu, host.x, [N, D]);
  for (const held of [undefined, host.held]) {
    const weight = parameter(gpu, host.weight, [D, D], held);
    const bias = parameter(gpu, host.bias, [D], held?.slice(0, D));
    const body = () => linear(linear(x, weight, bias), weight, bias);
    differentiate(body, fromArray(gpu, host.dy, [N, D]), { accumulate: held !== undefined });
    const dweight = outer.dweight.map((value, i) => value + own.dweight[i]! + (held?.[i] ?? 0));
    const dbias = outer.dbias.map((value, i) => value + own.dbias[i]! + (held?.[i] ?? 0));
    const bound = roundingBound({ terms: 2 * D + N, scale: largest(dweight) + largest(dbias) });
    expectClose(await readFloats(weight.gradient!), dweight, { bound, label: "dweight" });
    expectClose(await readFloats(bias.gradient!), dbias, { bound, label: "dbias" });
  }
});

test("an input that needs no gradient costs no dispatch", () => {
  const weight = parameter(gpu, new Float32Array(12), [3, 4]);
  const dispatched = vi.spyOn(gpu, "run");
  const backwardOf = (x: Tensor) => {
    const tape = new Tape();
    const y = tape.record(() => linear(x, weight, null));
    dispatched.mockClear();
    tape.backward(y, fromArray(gpu, new Float32Array(6), [2, 3]));
    return { dispatches: dispatched.mock.calls.length, dx: tape.gradientOf(x) };
  };
  const image = backwardOf(fromArray(gpu, new Float32Array(8), [2, 4]));
  const hidden = backwardOf(intermediate(gpu, new Float32Array(8), [2, 4]));
  dispatched.mockRestore();
  expect(image.dx).toBeNull();
  expect(hidden.dx?.shape).toEqual([2, 4]);
  expect(hidden.dispatches).toBeGreaterThan(image.dispatches);
});

test("only recorded operations are differentiated", () => {
  const x = intermediate(gpu, X, [6]);
  expect(relu(x).requiresGradient).toBe(false);
  const tape = new Tape();
  expect(() =>
    tape.record(() => {
      throw new Error("inside");
    }),
  ).toThrow("inside");
  expect(relu(x).requiresGradient).toBe(false);
  expect(tape.record(() => relu(fromArray(gpu, X))).requiresGradient).toBe(false);
  expect(tape.record(() => relu(x)).requiresGradient).toBe(true);
});

test("a gradient that an op passes on is written to a parameter's place, or added to its contents", async () => {
  for (const held of [undefined, new Float32Array(6).fill(10)]) {
    const [offset, other] = [parameter(gpu, X, [2, 3], held), parameter(gpu, X, [2, 3], held)];
    const x = intermediate(gpu, X, [2, 3]);
    // A learned offset, used once directly and twice in another shape; and one whose first gradient an op writes itself.
    const body = () =>
      add(flatten(add(add(x, offset), relu(other))), add(add(flatten(offset), flatten(offset)), other));
    const { tape } = differentiate(body, fromArray(gpu, DY, [2, 3]), { accumulate: held !== undefined });
    const start = held === undefined ? 0 : 10;
    expect(await readFloats(offset.gradient!)).toEqual(DY.map((dy) => start + 3 * dy));
    expect(await readFloats(other.gradient!)).toEqual(DY.map((dy, i) => start + dy * (X[i]! > 0 ? 2 : 1)));
    expect(await readFloats(tape.gradientOf(x)!)).toEqual(DY);
  }
});

test("an op that has one tensor for two inputs gets the sum of their gradients", async () => {
  const D = 3;
  const data = randomData(2);
  const host = { x: data.normals(D * D), dy: data.normals(D * D) };
  const { dx, dweight } = linearGradients({ ...host, weight: host.x }, { N: D, I: D, O: D });
  const expected = dx.map((value, i) => value + dweight[i]!);
  const bound = roundingBound({ terms: 2 * D, scale: largest(expected) });
  const dy = fromArray(gpu, host.dy, [D, D]);
  for (const x of [intermediate(gpu, host.x, [D, D]), parameter(gpu, host.x, [D, D])]) {
    const { tape } = differentiate(() => linear(x, x, null), dy);
    expectClose(await readFloats(tape.gradientOf(x)!), expected, { bound, label: "dx + dweight" });
  }
});

const SIZE = { N: 8, C: 6, HW: 1, ghostSize: 4, ghosts: 2, eps: 1e-5, relu: true };
const GHOSTS = { ghostSize: 4, ghosts: 2, total: 8, firstGhost: 0 };

test("batch norm with its own input as residual: the gradient is the sum over both paths", async () => {
  const { N, C } = SIZE;
  const data = randomData(3);
  const host = {
    x: data.normals(N * C),
    gamma: data.normals(C),
    beta: data.normals(C),
    dy: data.normals(N * C),
  };
  const x = intermediate(gpu, host.x, [N, C]);
  const [gamma, beta] = [parameter(gpu, host.gamma, [C]), parameter(gpu, host.beta, [C])];
  const options = {
    ghosts: GHOSTS,
    statistics: persistent(gpu, [2, C, 2]),
    firstChannel: 0,
    eps: SIZE.eps,
    relu: true,
  };
  const { tape } = differentiate(
    () => ghostBatchNorm(x, gamma, beta, { ...options, residual: x }),
    fromArray(gpu, host.dy, [N, C]),
  );
  const y = batchNormReference({ ...host, residual: host.x }, SIZE).y;
  const { dx, dresidual, dgamma } = ghostBatchNormGradients({ ...host, y }, SIZE);
  const expected = dx.map((value, i) => value + dresidual[i]!);
  const bound = roundingBound({ terms: N, scale: 8 * largest(expected) });
  expectClose(await readFloats(tape.gradientOf(x)!), expected, { bound, label: "dx + dresidual" });
  expectClose(await readFloats(gamma.gradient!), dgamma, { bound, label: "dgamma" });
});

test("a gamma that two batch norms share gets both gradients, and each beta its own", async () => {
  const { N, C } = SIZE;
  const data = randomData(4);
  const gammas = data.normals(C);
  const gamma = parameter(gpu, gammas, [C]);
  const branches = [5, 6].map((seed) => {
    const own = randomData(seed);
    return { x: own.normals(N * C), gamma: gammas, beta: own.normals(C) };
  });
  const betas = branches.map(({ beta }) => parameter(gpu, beta, [C]));
  const dy = data.normals(N * C);
  const body = () => {
    const [one, other] = branches.map(({ x }, i) =>
      ghostBatchNorm(fromArray(gpu, x, [N, C]), gamma, betas[i]!, {
        ...{
          ghosts: GHOSTS,
          statistics: persistent(gpu, [2, C, 2]),
          firstChannel: 0,
          eps: SIZE.eps,
          relu: true,
        },
      }),
    );
    return add(one!, other!);
  };
  differentiate(body, fromArray(gpu, dy, [N, C]));
  const gradients = branches.map((host) =>
    ghostBatchNormGradients({ ...host, dy, y: batchNormReference(host, SIZE).y }, SIZE),
  );
  const dgamma = gradients[0]!.dgamma.map((value, i) => value + gradients[1]!.dgamma[i]!);
  const bound = roundingBound({ terms: N, scale: 8 * largest(dgamma) });
  expectClose(await readFloats(gamma.gradient!), dgamma, { bound, label: "dgamma" });
  for (const [i, { dbeta }] of gradients.entries())
    expectClose(await readFloats(betas[i]!.gradient!), dbeta, { bound, label: `dbeta ${i}` });
});
