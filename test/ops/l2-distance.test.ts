// l2-distance on the GPU against float64: of whole tensors, and of only their first values.

import { beforeAll, expect, test } from "vitest";
import { l2DistanceCases } from "../../src/cases/l2-distance.ts";
import { caseLabel } from "../../src/cases/label.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { l2Distance } from "../../src/ops/l2-distance.ts";
import { l2Distance as reference } from "../../src/reference/l2-distance.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, readFloats, slice } from "../../src/tensor/tensor.ts";
import { roundingBound } from "../support/close.ts";
import { isAffordable, poisonAllocations, VARIANTS } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
  poisonAllocations(gpu);
  return () => gpu.close();
});

const cases = l2DistanceCases.filter((one) => isAffordable(one, { bytes: 4 * one.size }));

test.each(VARIANTS.flatMap((variant) => cases.map((one) => [variant, caseLabel(one), one] as const)))(
  "%s, %s",
  async (variant, _, { size, count = size }) => {
    gpu.variant = variant;
    const data = randomData(size + count);
    const host = { a: data.normals(size), b: data.normals(size, { mean: 0.1 }) };
    const [x, start] = [slice(fromArray(gpu, host.a), 0, [count]), slice(fromArray(gpu, host.b), 0, [count])];
    const distance = fromArray(gpu, new Float32Array(3).fill(Number.NaN));
    l2Distance(x, start, distance, 1);
    const first = await readFloats(distance);
    l2Distance(x, start, distance, 1);
    expect(first).toEqual(await readFloats(distance));
    expect([first[0], first[2]]).toEqual([Number.NaN, Number.NaN]);
    // All terms are positive: no more error than that of the longest chain of additions (256 partial sums, 4,096 terms each).
    expect(Math.abs(first[1]! / reference(host, count) - 1)).toBeLessThan(
      roundingBound({ terms: 512, scale: 1 }),
    );
  },
);

test("shapes that do not fit are named", () => {
  const of = (size: number) => fromArray(gpu, new Float32Array(size));
  expect(() => l2Distance(of(3), of(4), of(1))).toThrow("l2Distance: start: expected [3], got [4]");
});
