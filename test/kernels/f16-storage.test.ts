// Every pass that reads or writes activations, with these stored as f16: against float64 of the rounded inputs, in either variant.
// The bound is that of the f32 sums and half the distance of neighbours among the f16 results (src/bench/check.ts).

import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { captureCommands } from "../../src/bench/capture.ts";
import { findingsOf, runCommands } from "../../src/bench/check.ts";
import type { PassCase } from "../../src/bench/pass.ts";
import { PASSES } from "../../src/bench/passes/index.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { VARIANTS } from "../support/op-run.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

/** Small ones, equally far apart among all: the text is that of f32, which has tests of its own for every case. */
function someOf(cases: readonly PassCase[]): PassCase[] {
  const small = cases.filter(({ paper, flops, bytes }) => !paper && flops < 1e6 && bytes < 2 ** 20);
  return Array.from({ length: 3 }, (_, i) => small[Math.floor((i * small.length) / 3)]!);
}

const passes = PASSES.filter(({ types }) => types.includes("f16"));

test("all kernels of activations have such a pass", () => {
  const ops = ["avg-pool", "batch", "channel-bias", "conv2d", "dropout", "elementwise", "ghost-batch-norm"];
  const all = [...ops, "global-avg-pool", "matmul", "max-pool", "reduce"];
  expect([...new Set(passes.map(({ name }) => name.split("/")[0]))].sort()).toEqual(all);
});

describe.each(VARIANTS)("%s", (variant) => {
  test.each(passes.map((pass) => [pass.name, pass] as const))("%s", async (_, { cases }) => {
    for (const one of new Set(someOf(cases))) {
      await gpu.lifetime(async () => {
        const { launch, outputs } = await one.prepare(gpu, "f16");
        const commands = captureCommands(gpu, variant, launch);
        const specs = commands.map(({ launch: { spec } }) => Object.values(spec ?? {}).join());
        expect(specs.join(), one.label).toMatch(/\b(f16|vec4h)\b/);
        expect(findingsOf(outputs, await runCommands(gpu, commands, outputs)), one.label).toEqual([]);
      });
    }
  });
});
