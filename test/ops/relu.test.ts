// relu on the GPU against the reference: exact, in either direction.

import { beforeAll, expect, test } from "vitest";
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

const cases = reluCases.filter((one) => isAffordable(one, { bytes: 4 * sizeOf(one.shape) }));

test.each(cases.map((one) => [caseLabel(one), one] as const))("relu %s", async (label, { shape }) => {
  const size = sizeOf(shape);
  const data = randomData(size);
  const pattern = data.normals(PATTERN).map((value, i) => (i % 7 === 3 ? 0 : value)); // the slope at 0 is 0
  const host = { x: repeated(pattern, size), dy: repeated(data.normals(PATTERN - 2), size) };
  const x = intermediate(gpu, host.x, shape);
  const { y, tape } = differentiate(() => relu(x), fromArray(gpu, host.dy, shape));
  expectClose(await readFloats(y), reference(host.x), { bound: 0, label: `${label} y`, shape });
  const dx = reluGradient(host);
  expectClose(await readFloats(tape.gradientOf(x)!), dx, { bound: 0, label: `${label} dx`, shape });
});

test("a gradient that exists is added to", async () => {
  const host = { y: new Float32Array([0, 2, 0, 1, 3]), dy: new Float32Array([1, 2, 3, 4, 5]) };
  const dx = fromArray(gpu, new Float32Array([10, 20, 30, 40, 50]));
  launchReluGrad({ y: fromArray(gpu, host.y), dy: fromArray(gpu, host.dy), dx }, { accumulate: true });
  expect([...(await readFloats(dx))]).toEqual([10, 22, 30, 44, 55]);
});
