// The running statistics of all batch norms, which a model's layers share.

import { beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { GhostBatchNorm } from "../../src/nn/ghost-batch-norm.ts";
import { materialize, updateRunningStatistics } from "../../src/nn/model-state.ts";
import { Sequential } from "../../src/nn/module.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { updateRunningStatistics as reference } from "../../src/reference/running-statistics.ts";
import { UsageError } from "../../src/support/errors.ts";
import { readFloats } from "../../src/tensor/tensor.ts";
import { expectClose, roundingBound } from "../support/close.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});

const GHOSTS = { ghostSize: 4, ghosts: 2, total: 8 };
const LITERAL = { rule: "paper-literal", momentum: 0.1 } as const;
const stateOf = (...eps: number[]) =>
  materialize(gpu, new Sequential(eps.map((one) => new GhostBatchNorm(3, { eps: one }))), {
    seed: 1,
    maximumGhosts: 2,
  });

test("running statistics are averaged with the layers' own eps", async () => {
  const C = 6;
  const state = stateOf(0.5, 0.5);
  const data = randomData(1);
  const [mean, variance] = [data.normals(2 * C), data.uniforms(2 * C, 0.2, 2)];
  const pairs = Float32Array.from({ length: 4 * C }, (_, i) => (i % 2 === 0 ? mean : variance)[i >> 1]!);
  const { statistics, runningMean, runningVariance } = state.normState!;
  gpu.write(statistics, pairs);
  updateRunningStatistics(state, GHOSTS, LITERAL);
  const before = { runningMean: new Float32Array(C), runningVariance: new Float32Array(C).fill(1) };
  const options = { N: 8, C, HW: 1, ...GHOSTS, ...LITERAL, eps: 0.5 };
  const expected = reference({ mean, variance, ...before }, options);
  const bound = roundingBound({ terms: 4, scale: 4 });
  expectClose(await readFloats(runningMean), expected.runningMean, { bound, label: "mean" });
  expectClose(await readFloats(runningVariance), expected.runningVariance, { bound, label: "variance" });
});

test("a rule that needs eps refuses layers with different eps; other rules do not", () => {
  const state = stateOf(1e-5, 1e-3);
  expect(() => updateRunningStatistics(state, GHOSTS, LITERAL)).toThrow(UsageError);
  expect(() => updateRunningStatistics(state, GHOSTS, LITERAL)).toThrow(
    "got 0.00001, 0.001: use the same eps",
  );
  expect(() => updateRunningStatistics(state, GHOSTS, { ...LITERAL, rule: "mean" })).not.toThrow();
});
