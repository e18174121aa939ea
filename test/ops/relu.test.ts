// relu on the GPU against the reference: exact, forward and backward, in both types.

import { beforeAll, describe, expect, test } from "vitest";
import { caseLabel } from "../../src/cases/label.ts";
import { reluCases } from "../../src/cases/relu.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchReluGrad } from "../../src/kernels/elementwise.ts";
import { relu } from "../../src/ops/relu.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { relu as reference, reluGradient } from "../../src/reference/relu.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose } from "../support/close.ts";
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
} from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

const cases = reluCases.filter((one) => isAffordable(one, { bytes: 4 * sizeOf(one.shape) }));

describe.each(STORED)("in %s", (type) => {
  const inType = cases.filter((one) => runsIn(type, one, sizeOf(one.shape)));

  test.each(inType.map((one) => [caseLabel(one), one] as const))("relu %s", async (label, { shape }) => {
    const size = sizeOf(shape);
    const data = randomData(size);
    const pattern = data.normals(PATTERN).map((value, i) => (i % 7 === 3 ? 0 : value)); // the slope at 0 is 0
    const stored = (values: Float32Array<ArrayBuffer>) => repeated(asStored(values, type), size);
    const host = { x: stored(pattern), dy: stored(data.normals(PATTERN - 2)) };
    const x = intermediate(gpu, host.x, shape, type);
    const { y, tape } = differentiate(() => relu(x), fromArray(gpu, host.dy, shape, "dy", type));
    expectClose(await readFloats(y), reference(host.x), { bound: 0, label: `${label} y`, shape });
    const dx = tape.gradientOf(x)!;
    expectClose(await readFloats(dx), reluGradient(host), { bound: 0, label: `${label} dx`, shape });
    expect([y.dtype, dx.dtype]).toEqual([type, type]);
  });
});

test.each(STORED)("a gradient is added to an existing one in %s", async (type) => {
  const of = (...values: number[]) => fromArray(gpu, new Float32Array(values), [5], "values", type);
  const dx = of(10, 20, 30, 40, 50);
  launchReluGrad({ y: of(0, 2, 0, 1, 3), dy: of(1, 2, 3, 4, 5), dx }, { accumulate: true });
  expect([...(await readFloats(dx))]).toEqual([10, 22, 30, 44, 55]);
});
