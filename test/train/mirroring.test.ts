// `--no-mirroring`, from a run's specification to the data set on the GPU. test/ops/batch.test.ts checks that the kernel then mirrors nothing.
import { afterAll, beforeAll, expect, test } from "vitest";
import { placeDataset } from "../../src/data/feed.ts";
import { syntheticDataset, syntheticOptions } from "../../src/data/synthetic.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { factsOf, planRun } from "../../src/run/plan-run.ts";
import { completeSpec } from "../../src/run/run-spec.ts";
import { specHash } from "../../src/run/spec-hash.ts";
import { dataOptions } from "../../src/run/trainer-options.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});
afterAll(() => gpu.close());

const dataset = {
  ...syntheticDataset(syntheticOptions("1x8x8:2:64:16")),
  augmentation: { padding: 1, padValue: 99, flip: true },
};

test.each([
  [{}, true],
  [{ mirroring: false }, false],
])("%o: mirroring %s, crops unchanged", async (choice, flip) => {
  const spec = completeSpec({ dataset: "synthetic:1x8x8:2:64:16", batchSize: 16, ...choice });
  const placed = await placeDataset(gpu, dataset, dataOptions(planRun(spec, factsOf(dataset))));
  expect(placed.augmentation).toEqual({ padding: 1, padValue: 99, flip });
});

test("a run without mirroring has another hash; one with it keeps its hash", () => {
  const hash = (choice: object) => specHash(completeSpec({ dataset: "mnist", ...choice }));
  expect(hash({ mirroring: true })).toBe(hash({}));
  expect(hash({ mirroring: false })).not.toBe(hash({}));
});
