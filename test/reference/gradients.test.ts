// Every backward function of the float64 references against central differences of its forward function.

import { describe, test } from "vitest";
import { add, addGradient } from "../../src/reference/add.ts";
import { avgPool, avgPoolGradient } from "../../src/reference/avg-pool.ts";
import {
  type Conv2dSize,
  conv2d,
  conv2dBiasGradient,
  conv2dInputGradient,
  conv2dOutputSize,
  conv2dWeightGradient,
} from "../../src/reference/conv2d.ts";
import { dropout } from "../../src/reference/dropout.ts";
import { ghostBatchNorm, ghostBatchNormGradients } from "../../src/reference/ghost-batch-norm.ts";
import { globalAvgPool, globalAvgPoolGradient } from "../../src/reference/global-avg-pool.ts";
import { linear, linearGradients } from "../../src/reference/linear.ts";
import { matmul, matmulGradients } from "../../src/reference/matmul.ts";
import { maxPool, maxPoolGradient } from "../../src/reference/max-pool.ts";
import { type PoolSize, poolOutputSize } from "../../src/reference/pool-size.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { relu, reluGradient } from "../../src/reference/relu.ts";
import { softmaxCrossEntropy } from "../../src/reference/softmax-cross-entropy.ts";
import { dot, expectGradient } from "../support/gradcheck.ts";

const random = randomData(1);
const normals = (count: number) => Float64Array.from(random.normals(count));

/** Distinct numbers, at least 0.01 apart and away from 0, in random order: no ties, no kink within a central difference. */
function separated(count: number): Float64Array {
  const order = random.uniforms(count, 0, 1);
  const ranks = [...order.keys()].sort((i, j) => order[i] - order[j]);
  return Float64Array.from(
    ranks,
    (rank) => (rank - count / 2 + 0.25) / 100 + Math.sign(rank - count / 2 + 0.25) / 100,
  );
}

describe("matmul", () => {
  for (const [transposeA, transposeB] of [
    [false, false],
    [true, false],
    [false, true],
    [true, true],
  ]) {
    test(`transposeA ${transposeA}, transposeB ${transposeB}`, () => {
      const size = { rows: 3, inner: 5, columns: 4, transposeA, transposeB };
      const t = { a: normals(15), b: normals(20), bias: normals(4), dc: normals(12) };
      const { da, db, dbias } = matmulGradients(t, size);
      const f = () => dot(matmul(t, size), t.dc);
      expectGradient(f, { values: t.a, analytic: da, label: "da" });
      expectGradient(f, { values: t.b, analytic: db, label: "db" });
      expectGradient(f, { values: t.bias, analytic: dbias, label: "dbias" });
    });
  }
});

test("linear", () => {
  const size = { N: 4, I: 5, O: 3 };
  const t = { x: normals(20), weight: normals(15), bias: normals(3), dy: normals(12) };
  const { dx, dweight, dbias } = linearGradients(t, size);
  const f = () => dot(linear(t, size), t.dy);
  expectGradient(f, { values: t.x, analytic: dx, label: "dx" });
  expectGradient(f, { values: t.weight, analytic: dweight, label: "dweight" });
  expectGradient(f, { values: t.bias, analytic: dbias, label: "dbias" });
});

test("relu", () => {
  const x = separated(31);
  const dy = normals(31);
  const f = () => dot(relu(x), dy);
  expectGradient(f, { values: x, analytic: reluGradient({ x, dy }), label: "dx" });
  expectGradient(f, { values: x, analytic: reluGradient({ x: relu(x), dy }), label: "dx from y" });
});

describe("add", () => {
  for (const fused of [false, true]) {
    test(fused ? "with relu" : "alone", () => {
      const t = { a: normals(17), b: normals(17), dy: normals(17) };
      const f = () => dot(add(t, { relu: fused }), t.dy);
      const analytic = addGradient({ y: add(t, { relu: fused }), dy: t.dy }, { relu: fused });
      expectGradient(f, { values: t.a, analytic, label: "da" });
      expectGradient(f, { values: t.b, analytic, label: "db" });
    });
  }
});

describe("ghost-batch-norm", () => {
  const sizes = [
    { N: 22, C: 2, HW: 1, ghostSize: 7, ghosts: 3 },
    { N: 5, C: 3, HW: 4, ghostSize: 2, ghosts: 2 },
    { N: 7, C: 1, HW: 2, ghostSize: 3, ghosts: 3 },
  ];
  for (const size of sizes) {
    for (const withRelu of [false, true]) {
      for (const withResidual of [false, true]) {
        test(`${JSON.stringify(size)} relu ${withRelu} residual ${withResidual}`, () => {
          const count = size.N * size.C * size.HW;
          const t = { x: normals(count), gamma: normals(size.C), beta: normals(size.C), dy: normals(count) };
          const residual = withResidual ? normals(count) : undefined;
          const options = { ...size, eps: 1e-5, relu: withRelu };
          const forward = () => ghostBatchNorm({ ...t, residual }, options).y;
          const f = () => dot(forward(), t.dy);
          const { dx, dgamma, dbeta, dresidual } = ghostBatchNormGradients({ ...t, y: forward() }, options);
          expectGradient(f, { values: t.x, analytic: dx, label: "dx" });
          expectGradient(f, { values: t.gamma, analytic: dgamma, label: "dgamma" });
          expectGradient(f, { values: t.beta, analytic: dbeta, label: "dbeta" });
          if (residual) expectGradient(f, { values: residual, analytic: dresidual, label: "dresidual" });
        });
      }
    }
  }
});

test("softmax-cross-entropy", () => {
  const size = { N: 5, classes: 7 };
  const t = { logits: normals(35), labels: random.integers(5, 7), weights: normals(5) };
  const f = () => softmaxCrossEntropy(t, size).loss;
  expectGradient(f, { values: t.logits, analytic: softmaxCrossEntropy(t, size).dlogits, label: "dlogits" });
});

describe("conv2d", () => {
  const sizes: Conv2dSize[] = [
    { N: 2, C: 2, H: 5, W: 4, K: 3, R: 3, S: 3, stride: 1, padding: 1 },
    { N: 2, C: 3, H: 6, W: 7, K: 2, R: 3, S: 3, stride: 2, padding: 1 },
    { N: 1, C: 2, H: 5, W: 5, K: 3, R: 1, S: 1, stride: 2, padding: 0 },
    { N: 1, C: 1, H: 9, W: 8, K: 2, R: 5, S: 4, stride: 3, padding: 2 },
  ];
  for (const size of sizes) {
    test(JSON.stringify(size), () => {
      const { N, C, H, W, K, R, S } = size;
      const { P, Q } = conv2dOutputSize(size);
      const t = {
        x: normals(N * C * H * W),
        weight: normals(K * C * R * S),
        bias: normals(K),
        dy: normals(N * K * P * Q),
      };
      const f = () => dot(conv2d(t, size), t.dy);
      expectGradient(f, { values: t.x, analytic: conv2dInputGradient(t, size), label: "dx" });
      expectGradient(f, { values: t.weight, analytic: conv2dWeightGradient(t, size), label: "dweight" });
      expectGradient(f, { values: t.bias, analytic: conv2dBiasGradient(t.dy, size), label: "dbias" });
    });
  }
});

describe("pooling", () => {
  const sizes: PoolSize[] = [
    { N: 2, C: 2, H: 6, W: 6, kernel: 2, stride: 2, padding: 0 },
    { N: 1, C: 3, H: 7, W: 9, kernel: 3, stride: 2, padding: 0 },
    { N: 1, C: 2, H: 7, W: 6, kernel: 3, stride: 2, padding: 1 },
  ];
  for (const size of sizes) {
    const { P, Q } = poolOutputSize(size);
    const inputs = size.N * size.C * size.H * size.W;
    const dy = normals(size.N * size.C * P * Q);
    test(`max-pool ${JSON.stringify(size)}`, () => {
      const x = separated(inputs);
      const { indices } = maxPool(x, size);
      const f = () => dot(maxPool(x, size).y, dy);
      expectGradient(f, { values: x, analytic: maxPoolGradient({ dy, indices }, size), label: "dx" });
    });
    test(`avg-pool ${JSON.stringify(size)}`, () => {
      const x = normals(inputs);
      const f = () => dot(avgPool(x, size), dy);
      expectGradient(f, { values: x, analytic: avgPoolGradient(dy, size), label: "dx" });
    });
  }
});

test("global-avg-pool", () => {
  const size = { N: 2, C: 3, HW: 7 };
  const x = normals(42);
  const dy = normals(6);
  const f = () => dot(globalAvgPool(x, size), dy);
  expectGradient(f, { values: x, analytic: globalAvgPoolGradient(dy, size), label: "dx" });
});

test("dropout", () => {
  const x = normals(40);
  const dy = normals(40);
  const mask = random.integers(40, 2);
  const f = () => dot(dropout({ x, mask }, { p: 0.3 }), dy);
  expectGradient(f, { values: x, analytic: dropout({ x: dy, mask }, { p: 0.3 }), label: "dx" });
});
