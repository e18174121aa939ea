import { expect, test } from "vitest";
import { selfTest } from "../../src/bench/self-test.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";

test("an adapter with correct results passes; for wrong results, the error names the pass and the element", async () => {
  const gpu = await openGpu();
  const { checked, gflops } = await selfTest(gpu);
  expect(checked).toBeGreaterThanOrEqual(6);
  expect(gflops).toBeGreaterThan(0);
  const doubling = new Gpu(gpu.device, gpu.adapter, (file) => {
    const text = shaderFiles(file);
    return file.startsWith("conv2d/grad-weight") ? text.replaceAll("fma(", "2.0 * fma(") : text;
  });
  doubling.variant = gpu.variant;
  await expect(selfTest(doubling)).rejects.toThrow(
    /^self-test: conv2d\/grad-weight, (narrow|wide) kernels, .*values of dweight are off; worst dweight\[.*: the adapter or its driver gives wrong results/,
  );
});
