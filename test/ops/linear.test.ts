// linear on the GPU against float64, in both variants: forward and all three gradients.

import { beforeAll, describe, expect, test } from "vitest";
import { caseLabel } from "../../src/cases/label.ts";
import { type LinearCase, linearCases } from "../../src/cases/linear.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { linear } from "../../src/ops/linear.ts";
import { linearGradients, linear as reference } from "../../src/reference/linear.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";
import {
  differentiate,
  expectSameBits,
  intermediate,
  isAffordable,
  parameter,
  poisonAllocations,
  VARIANTS,
} from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

const cases = linearCases.filter((one) => isAffordable(one, { flops: 2 * one.N * one.I * one.O }));

describe.each(VARIANTS)("linear, %s", (variant) => {
  test.each(cases.map((one) => [caseLabel(one), one] as const))("%s", async (label, size) => {
    gpu.variant = variant;
    const { N, I, O, bias = false } = size;
    const { host, run } = prepared(size);
    const first = run();
    const second = run();
    const added = run({ accumulate: true });

    const y = reference(bias ? host : { x: host.x, weight: host.weight }, size);
    const gradients = linearGradients(host, size);
    const close = (
      actual: Float32Array,
      expected: Float64Array,
      terms: number,
      what: string,
      shape: number[],
    ) =>
      expectClose(actual, expected, {
        bound: roundingBound({ terms, scale: largest(expected) }),
        label: `linear ${label} ${what}`,
        shape,
      });
    close(await readFloats(first.y), y, I + 1, "y", [N, O]);
    close(await readFloats(first.dx), gradients.dx, O, "dx", [N, I]);
    close(await readFloats(first.dweight), gradients.dweight, N, "dweight", [O, I]);
    const plusHeld = (sums: Float64Array, held: Float32Array) => sums.map((sum, i) => sum + held[i]!);
    close(
      await readFloats(added.dweight),
      plusHeld(gradients.dweight, host.heldWeight),
      N + 1,
      "dweight, added",
      [O, I],
    );
    if (bias) {
      close(await readFloats(first.dbias!), gradients.dbias, N, "dbias", [O]);
      close(await readFloats(added.dbias!), plusHeld(gradients.dbias, host.heldBias), N + 1, "dbias, added", [
        O,
      ]);
    }
    for (const what of ["y", "dx", "dweight"] as const) await expectSameBits(first[what], second[what], what);
  });
});

/** Data of a case, and how to run it: into gradients full of NaN, or adding to their contents. */
function prepared({ N, I, O, bias = false }: LinearCase) {
  const data = randomData(N * 10_000 + I * 100 + O);
  const host = {
    x: data.normals(N * I),
    weight: data.normals(O * I, { deviation: I ** -0.5 }),
    bias: data.normals(O),
    dy: data.normals(N * O),
    heldWeight: data.normals(O * I),
    heldBias: data.normals(O),
  };
  const dy = fromArray(gpu, host.dy, [N, O]);
  const run = ({ accumulate = false } = {}) => {
    const x = intermediate(gpu, host.x, [N, I]);
    const weight = parameter(gpu, host.weight, [O, I], accumulate ? host.heldWeight : undefined);
    const offset = bias ? parameter(gpu, host.bias, [O], accumulate ? host.heldBias : undefined) : null;
    const { y, tape } = differentiate(() => linear(x, weight, offset), dy, { accumulate });
    return { y, dx: tape.gradientOf(x)!, dweight: weight.gradient!, dbias: offset?.gradient };
  };
  return { host, run };
}

test("shapes that do not fit are named", () => {
  const of = (...shape: number[]) =>
    fromArray(gpu, new Float32Array(shape.reduce((a, b) => a * b, 1)), shape);
  expect(() => linear(of(2, 3), of(5, 4), null)).toThrow("linear: weight: expected [5, 3], got [5, 4]");
  expect(() => linear(of(2, 3), of(5, 3), of(4))).toThrow("linear: bias: expected [5], got [4]");
  expect(() => linear(of(2, 3, 1), of(5, 3), null)).toThrow(
    "linear: x: expected 2 dimensions, got [2, 3, 1]",
  );
});
