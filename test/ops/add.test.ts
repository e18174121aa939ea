// add on the GPU, alone and with a relu behind it, against the reference.

import { beforeAll, expect, test } from "vitest";
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
  differentiate,
  intermediate,
  isAffordable,
  PATTERN,
  poisonAllocations,
  repeated,
} from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
});

const cases = addCases.filter((one) => isAffordable(one, { bytes: 4 * sizeOf(one.shape) }));

test.each(cases.map((one) => [caseLabel(one), one] as const))("add %s", async (label, one) => {
  const { shape } = one;
  const size = sizeOf(shape);
  const data = randomData(size);
  // Two patterns of unlike lengths, so that no mistaken index meets the same pair of values.
  const host = {
    a: repeated(data.normals(PATTERN), size),
    b: repeated(data.normals(PATTERN - 8), size),
    dy: repeated(data.normals(PATTERN - 2), size),
  };
  const [a, b] = [intermediate(gpu, host.a, shape), intermediate(gpu, host.b, shape)];
  const body = () => (one.relu ? relu(add(a, b)) : add(a, b));
  const { y, tape } = differentiate(body, fromArray(gpu, host.dy, shape));
  const expected = reference(host, one);
  const bound = roundingBound({ terms: 1, scale: largest(expected), factor: 1 }); // a single rounding
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

test("shapes that do not fit are named", () => {
  const of = (...shape: number[]) => fromArray(gpu, new Float32Array(sizeOf(shape)), shape);
  expect(() => add(of(2, 3), of(3, 2))).toThrow("add: b: expected [2, 3], got [3, 2]");
});
