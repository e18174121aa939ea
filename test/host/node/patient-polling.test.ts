// Waiting for a software GPU leaves the cores to it.
import { beforeAll, expect, test, vi } from "vitest";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { openGpu } from "../../../src/host/node/open-gpu.ts";
import { launchMatmul } from "../../../src/kernels/matmul.ts";
import { empty, fromArray } from "../../../src/tensor/tensor.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

test("a wait polls at most ten times per millisecond, less often the longer it takes, and delays nothing else", async ({
  skip,
}) => {
  if (!gpu.adapter.software) skip("the adapter is not a software one");
  const size = 512;
  const a = fromArray(gpu, new Float32Array(size ** 2), [size, size]);
  const asked = vi.spyOn(globalThis, "setImmediate");
  const waits = vi.spyOn(Atomics, "wait");
  const start = performance.now();
  await gpu.lifetime(async () => {
    for (let i = 0; i < 20; i++) launchMatmul({ a, b: a, c: empty(gpu, [size, size]) });
    await gpu.settle();
  });
  const ms = performance.now() - start;
  const questions = asked.mock.calls.filter(([callback]) => /native code/.test(String(callback))).length;
  asked.mockRestore();
  expect(ms).toBeGreaterThan(20);
  expect(questions).toBeGreaterThan(1);
  expect(questions).toBeLessThan(11 * ms);
  const pauses = waits.mock.calls.map(([, , , pause]) => pause!);
  waits.mockRestore();
  expect(Math.min(...pauses)).toBe(0.1);
  expect(Math.max(...pauses)).toBeGreaterThan(0.1);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(1);

  const slept = vi.spyOn(Atomics, "wait");
  for (let i = 0; i < 100; i++) await new Promise((resolve) => setImmediate(resolve));
  expect(slept).not.toHaveBeenCalled();
  slept.mockRestore();
});
