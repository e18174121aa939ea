// The paper's networks: their numbers of parameters, and the names of the authors' PyTorch models.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, onTestFinished, test } from "vitest";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { createModel } from "../../src/models/create-model.ts";
import type { ModelOptions } from "../../src/models/model-entry.ts";
import { materialize } from "../../src/nn/model-state.ts";
import { namedParameters, parameterCount } from "../../src/nn/module.ts";
import { loadStateDict, stateDict } from "../../src/nn/state-dict.ts";
import { exportWeights, readWeights } from "../../src/run/weights.ts";
import { readSafetensors, writeSafetensors } from "../../src/storage/safetensors.ts";
import { UsageError } from "../../src/support/errors.ts";

const cifar10 = { channels: 3, height: 32, width: 32, classes: 10 };
const cifar100 = { ...cifar10, classes: 100 };
const mnist = { channels: 1, height: 28, width: 28, classes: 10 };
const imagenet = { channels: 3, height: 224, width: 224, classes: 1000 };

const folder = mkdtempSync(join(tmpdir(), "ghostbatch-weights-"));
afterAll(() => rmSync(folder, { recursive: true }));

test.each<[string, typeof cifar10, ModelOptions, number, number]>([
  ["f1", mnist, {}, 1_462_794, 22],
  ["c1", cifar10, {}, 1_388_490, 14],
  ["c3", cifar100, {}, 1_405_860, 14],
  ["c1", cifar10, { topology: "keskar" }, 1_757_834, 18],
  ["c3", cifar100, { topology: "keskar" }, 1_775_204, 18],
  ["resnet44", cifar10, {}, 661_338, 137],
  ["resnet44", cifar100, {}, 667_188, 137],
  ["wresnet16-4", cifar100, {}, 2_800_804, 47],
  ["wresnet16-4", cifar10, {}, 2_777_674, 47],
  ["vgg", cifar10, {}, 14_991_946, 58],
  ["alexnet", imagenet, {}, 61_110_184, 23],
])("%s of %o %o has %i parameters in %i tensors", (name, image, options, parameters, tensors) => {
  const model = createModel(name, image, options);
  expect(parameterCount(model)).toBe(parameters);
  expect(namedParameters(model)).toHaveLength(tensors);
});

test("Zagoruyko's own WRN-16-4 has 2,772,020 parameters", () => {
  expect(parameterCount(createModel("wrn16-4-preact", cifar100))).toBe(2_772_020);
});

test("an unknown model, option or depth is an error", () => {
  expect(() => createModel("resnet", cifar10)).toThrow(UsageError);
  expect(() => createModel("constructor", cifar10)).toThrow(UsageError);
  expect(() => createModel("resnet45", cifar10)).toThrow(/depth of 45 is not 6·n \+ 2/);
  expect(() => createModel("resnet8", cifar10, { gamma: "ones" })).toThrow(/unknown option gamma/);
});

test("weights are exported under the authors' names, with their aliases, and load again bit for bit", async () => {
  const gpu = await openGpu();
  onTestFinished(() => gpu.close());
  const golden = new URL("../golden/train-resnet8.safetensors", import.meta.url).pathname;
  const expected = [...(await readSafetensors(golden)).tensors.keys()]
    .filter((name) => name.startsWith("init."))
    .map((name) => name.slice("init.".length));
  const state = materialize(gpu, createModel("resnet8", cifar10), { seed: 3, maximumGhosts: 1 });
  const written = await stateDict(state);
  expect([...written.keys()].sort()).toEqual(expected.sort());

  const path = join(folder, "own.safetensors");
  await writeSafetensors(path, written);
  const exported = join(folder, "authors.safetensors");
  const count = await exportWeights(path, exported, { aliases: true });
  const names = [...(await readSafetensors(exported)).tensors.keys()];
  expect(names).toHaveLength(count);
  expect(names).toContain("feats.4.0.downsample.1.running_var"); // layer2's second name
  expect(names).not.toContain("feats.fc.weight");

  const other = materialize(gpu, createModel("resnet8", cifar10), { seed: 4, maximumGhosts: 1 });
  expect(await stateDict(other)).not.toEqual(written);
  await loadStateDict(other, await readWeights(exported), exported);
  expect(await stateDict(other)).toEqual(written);
});
