// Every pass that reads or writes activations, with f16 storage, against float64 of the rounded inputs, in every variant.
// The bound is that of f32 sums plus half the distance between adjacent f16 results (src/bench/check.ts).

import { afterAll, beforeAll, expect, test } from "vitest";
import { checkPasses } from "../../src/bench/check-passes.ts";
import { PASSES } from "../../src/bench/passes/index.ts";
import { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { shaderFiles } from "../../src/host/node/shader-files.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const passes = PASSES.filter(({ types }) => types.includes("f16"));

test("every op on activations has such a pass", () => {
  const ops = ["avg-pool", "batch", "channel-bias", "conv2d", "dropout", "elementwise", "ghost-batch-norm"];
  const all = [...ops, "global-avg-pool", "matmul", "max-pool", "reduce"];
  expect([...new Set(passes.map(({ name }) => name.split("/")[0]))].sort()).toEqual(all);
});

test.each(passes.map((pass) => [pass.name, pass] as const))("%s", async (_, pass) => {
  let checked = 0;
  for await (const { variant, cases, findings } of checkPasses(gpu, [pass], "f16")) {
    expect(findings, variant).toEqual([]);
    checked += cases;
  }
  expect(checked).toBeGreaterThan(2);
});

test("an error of one f16 unit in the last place is found", async () => {
  const path = "elementwise/add.wgsl";
  const off = (file: string) =>
    file === path
      ? shaderFiles(file)
          .replace("y[i] = Stored(", "y[i] = Stored(1.001 * (")
          .replace("(b[i]));", "(b[i])));")
      : shaderFiles(file);
  const wrong = new Gpu(gpu.device, gpu.adapter, off);
  let checked = 0;
  for await (const { findings } of checkPasses(
    wrong,
    passes.filter(({ name }) => name === "elementwise/add"),
    "f16",
  )) {
    expect(findings[0]).toMatchObject({ kind: "wrong values" });
    checked++;
  }
  expect(checked).toBeGreaterThan(0);
});
