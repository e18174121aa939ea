// The choice of kernel variants for an adapter.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, expect, test, vi } from "vitest";
import { Gpu } from "../../../src/gpu/gpu.ts";
import { runnableVariants } from "../../../src/gpu/variant.ts";
import { openGpu } from "../../../src/host/node/open-gpu.ts";
import { shaderFiles } from "../../../src/host/node/shader-files.ts";
import { rememberTimes, variantChoice } from "../../../src/host/node/variant-choice.ts";
import { DeviceError, UsageError } from "../../../src/support/errors.ts";
import { temporaryFolder } from "../../support/temporary-folder.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterEach(() => void vi.unstubAllEnvs());

test("variants are chosen by features, by measurement, or by the user", async () => {
  const folder = temporaryFolder();
  vi.stubEnv("GHOSTBATCH_CACHE", folder);
  const measured = { ...gpu.adapter, name: "some adapter", subgroupMinSize: 8, subgroupMaxSize: 8 };
  const own = new Gpu(gpu.device, measured, shaderFiles);
  expect(variantChoice(own)).toEqual({ variant: "narrow", reason: "features", times: null });
  // A measurement that lacks a variant, as from a version without matrix kernels, is ignored.
  await rememberTimes(measured, { narrow: 5, wide: 2 });
  expect(variantChoice(own).reason).toBe("features");
  const times = { narrow: 5, wide: 2, matrix: 3 };
  await rememberTimes(measured, times);
  expect(variantChoice(own)).toEqual({ variant: "wide", reason: "measured", times });
  expect(variantChoice(gpu).reason).toBe("features"); // measurements belong to one adapter
  vi.stubEnv("GHOSTBATCH_VARIANT", "narrow");
  expect(variantChoice(own)).toMatchObject({ variant: "narrow", reason: "GHOSTBATCH_VARIANT" });
  const real = new Gpu(gpu.device, { ...measured, subgroupMinSize: 32, subgroupMaxSize: 32 }, shaderFiles);
  expect(() => variantChoice(real)).toThrow(DeviceError);
  expect(() => variantChoice(real)).toThrow(
    "need subgroups of exactly 8 lanes, but some adapter has 32 to 32 lanes",
  );
  vi.stubEnv("GHOSTBATCH_VARIANT", "matrix");
  expect(variantChoice(real)).toMatchObject({ variant: "matrix", reason: "GHOSTBATCH_VARIANT" });
  const plain = new Gpu(gpu.device, { ...measured, matrices: [] }, shaderFiles);
  expect(() => variantChoice(plain)).toThrow("some adapter has none");
  vi.stubEnv("GHOSTBATCH_VARIANT", "Wide");
  expect(() => variantChoice(real)).toThrow(
    new UsageError('GHOSTBATCH_VARIANT: expected narrow, wide or matrix, got "Wide"'),
  );
  vi.stubEnv("GHOSTBATCH_VARIANT", "wide");
  expect(new Gpu(gpu.device, gpu.adapter, shaderFiles).variant).toBe(runnableVariants(gpu)[0]);
  vi.stubEnv("GHOSTBATCH_VARIANT", "");
  writeFileSync(join(folder, "adapters.json"), "{ damaged");
  expect(variantChoice(own).reason).toBe("features");
});
