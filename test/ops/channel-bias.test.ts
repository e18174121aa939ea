// The bias of a convolution on the GPU against float64: forward and both gradients.

import { beforeAll, expect, test, vi } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { launchChannelBiasGrad } from "../../src/kernels/channel-bias.ts";
import { addChannelBias } from "../../src/ops/channel-bias.ts";
import { randomData } from "../../src/reference/random-data.ts";
import { fromArray, readFloats } from "../../src/tensor/tensor.ts";
import { expectClose, largest, roundingBound } from "../support/close.ts";
import {
  differentiate,
  expectSameBits,
  intermediate,
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

const SIZES = [
  [1, 1, 1],
  [3, 5, 49],
  [2, 17, 35],
  [7, 3, 400],
] as const;

test.each(VARIANTS.flatMap((variant) => SIZES.map((size) => [variant, ...size] as const)))(
  "%s: %i images, %i channels, %i pixels",
  async (variant, N, C, HW) => {
    gpu.variant = variant;
    const shape = [N, C, HW, 1];
    const data = randomData(N * 100 + C);
    const host = {
      x: data.normals(N * C * HW),
      bias: data.normals(C),
      dy: data.normals(N * C * HW),
      held: data.normals(C),
    };
    const y = new Float64Array(N * C * HW);
    const dbias = new Float64Array(C);
    for (let i = 0; i < N * C * HW; i++) {
      const c = Math.floor(i / HW) % C;
      y[i] = host.x[i]! + host.bias[c]!;
      dbias[c]! += host.dy[i]!;
    }
    const run = (held?: Float32Array<ArrayBuffer>) => {
      const [x, bias] = [intermediate(gpu, host.x, shape), parameter(gpu, host.bias, [C], held)];
      const dy = fromArray(gpu, host.dy, shape);
      const result = differentiate(() => addChannelBias(x, bias), dy, { accumulate: held !== undefined });
      return { y: result.y, dx: result.tape.gradientOf(x)!, dbias: bias.gradient! };
    };
    const [first, again, added] = [run(), run(), run(host.held)];
    expectClose(await readFloats(first.y), y, {
      bound: roundingBound({ terms: 1, scale: largest(y), factor: 1 }),
      label: "y",
      shape,
    });
    expect(await readFloats(first.dx)).toEqual(host.dy);
    const bound = roundingBound({ terms: N * HW + 1, scale: largest(dbias) });
    expectClose(await readFloats(first.dbias), dbias, { bound, label: "dbias" });
    expectClose(
      await readFloats(added.dbias),
      dbias.map((value, c) => value + host.held[c]!),
      { bound, label: "dbias, added" },
    );
    await expectSameBits(first.dbias, again.dbias, "dbias");
  },
);

test.each([
  [3, 87_400],
  [3, 87_403],
])("in the wide variant, several workgroups share a channel of %i images of %i pixels", async (N, HW) => {
  gpu.variant = "wide";
  const data = randomData(HW);
  const [host, held] = [data.normals(N * 2 * HW), data.normals(2)];
  const sums = Float64Array.from(held);
  for (const [i, value] of host.entries()) sums[Math.floor(i / HW) % 2]! += value;
  const dy = fromArray(gpu, host, [N, 2, HW]);
  const run = () => {
    const dbias = fromArray(gpu, held);
    launchChannelBiasGrad({ dy, dbias }, { accumulate: true });
    return dbias;
  };
  const dispatch = vi.spyOn(gpu, "run").mockClear();
  const dbias = run();
  expect(dispatch).toHaveBeenCalledTimes(2);
  const bound = roundingBound({ terms: N * HW + 1, scale: largest(sums) });
  expectClose(await readFloats(dbias), sums, { bound, label: "dbias" });
  await expectSameBits(dbias, run(), "dbias");
});
