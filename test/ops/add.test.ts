// add on the GPU, alone and followed by ReLU, against the reference, in both types.

import { beforeAll, describe, expect, test } from "vitest";
import { addCases } from "../../src/cases/add.ts";
import { caseLabel } from "../../src/cases/label.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { add } from "../../src/ops/add.ts";
import { relu } from "../../src/ops/relu.ts";
import { addGradient, add as reference } from "../../src/reference/add.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";
import {
  asStored,
  differentiate,
  intermediate,
  isAffordable,
  PATTERN,
  poisonAllocations,
  repeated,
  runsIn,
  STORED,
  storingBound,
} from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

const cases = addCases.filter((one) => isAffordable(one, { bytes: 4 * sizeOf(one.shape) }));

describe.each(STORED)("in %s", (type) => {
  const inType = cases.filter((one) => runsIn(type, one, sizeOf(one.shape)));

  test.each(inType.map((one) => [caseLabel(one), one] as const))("add %s", async (label, one) => {
    const { shape } = one;
    const size = sizeOf(shape);
    const data = randomData(size);
    const stored = (length: number) => repeated(asStored(data.normals(length), type), size);
    // Two patterns of different lengths, so that no wrong index finds the same pair of values.
    const host = { a: stored(PATTERN), b: stored(PATTERN - 8), dy: stored(PATTERN - 2) };
    const [a, b] = [intermediate(gpu, host.a, shape, type), intermediate(gpu, host.b, shape, type)];
    const body = () => (one.relu ? relu(add(a, b)) : add(a, b));
    const { y, tape } = differentiate(body, fromArray(gpu, host.dy, shape, "dy", type));
    const expected = reference(host, one);
    const rounding = roundingBound({ terms: 1, scale: largest(expected), factor: 1 }); // a single one
    const bound = rounding + storingBound(expected, type);
    expectClose(await readFloats(y), expected, { bound, label: `${label} y`, shape });
    const gradient = addGradient({ y: expected, dy: host.dy }, one);
    for (const [name, input] of Object.entries({ a, b })) {
      expectClose(await readFloats(tape.gradientOf(input)!), gradient, {
        bound: 0,
        label: `${label} d${name}`,
        shape,
      });
    }
  });
});

test("shapes that do not fit are named", () => {
  const of = (...shape: number[]) => fromArray(gpu, new Float32Array(sizeOf(shape)), shape);
  expect(() => add(of(2, 3), of(3, 2))).toThrow("add: b: expected [2, 3], got [3, 2]");
});

test("types that differ are named", () => {
  const [a, b] = (["f16", "f32"] as const).map((type) => fromArray(gpu, new Float32Array(4), [4], "x", type));
  expect(() => add(a!, b!)).toThrow("add: a is f16 and b is f32, expected one type for both");
});
