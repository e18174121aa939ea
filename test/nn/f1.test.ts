// F1 as in the paper: its parameters, their names and initial values, and saving and loading.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { F1, type F1Options } from "../../src/models/f1.ts";
import { materialize } from "../../src/nn/model-state.ts";
import { namedParameters, parameterCount } from "../../src/nn/module.ts";
import { loadStateDict, type StateTensor, stateDict } from "../../src/nn/state-dict.ts";
import { readSafetensors, writeSafetensors } from "../../src/storage/safetensors.ts";
import { DataError } from "../../src/support/errors.ts";
import { readFloats } from "../../src/tensor/tensor.ts";

let gpu: Gpu;
const folder = mkdtempSync(join(tmpdir(), "ghostbatch-f1-"));
beforeAll(async () => {
  gpu = await openGpu();
  return () => gpu.close();
});
afterAll(() => rmSync(folder, { recursive: true }));

const SMALL: F1Options = { inputs: 49, classes: 4, width: 20, hidden: 2 };
const stateOf = (options: F1Options, seed = 3) =>
  materialize(gpu, new F1(options), { seed, maximumGhosts: 4 });

test("1,462,794 parameters in 22 tensors", () => {
  const model = new F1();
  expect(parameterCount(model)).toBe(1_462_794);
  expect(namedParameters(model)).toHaveLength(22);
});

test("PyTorch's names and shapes, in its order", async () => {
  const names = [...(await stateDict(stateOf(SMALL)))].map(
    ([name, { shape }]) => `${name} ${shape.join("×")}`,
  );
  expect(names).toEqual([
    "layers.0.weight 20×49",
    "layers.0.bias 20",
    "layers.1.weight 20",
    "layers.1.bias 20",
    "layers.3.weight 20×20",
    "layers.3.bias 20",
    "layers.4.weight 20",
    "layers.4.bias 20",
    "layers.6.weight 4×20",
    "layers.6.bias 4",
    "layers.1.running_mean 20",
    "layers.1.running_var 20",
    "layers.4.running_mean 20",
    "layers.4.running_var 20",
  ]);
});

test("initial values: ±1/√inputs for weights and biases, gamma 1 or U(0, 1), running statistics 0 and 1", async () => {
  const values = await stateDict(stateOf({ ...SMALL, width: 200 }));
  const within = (name: string, least: number, greatest: number) => {
    const { data } = values.get(name)!;
    expect(Math.min(...data), name).toBeGreaterThanOrEqual(least);
    expect(Math.max(...data), name).toBeLessThan(greatest);
    expect(Math.max(...data) - Math.min(...data), name).toBeGreaterThan(0.85 * (greatest - least));
  };
  within("layers.0.weight", -1 / 7, 1 / 7);
  within("layers.0.bias", -1 / 7, 1 / 7);
  within("layers.3.weight", -(200 ** -0.5), 200 ** -0.5);
  // No two tensors have the same draws, apart from their bounds.
  const unscaled = (name: string, bound: number) =>
    values
      .get(name)!
      .data.slice(0, 4)
      .map((value) => Math.fround(value / bound));
  const [first, second] = [unscaled("layers.0.bias", 1 / 7), unscaled("layers.3.bias", 200 ** -0.5)];
  expect(Math.max(...first.map((value, i) => Math.abs(value - second[i]!)))).toBeGreaterThan(1e-3);
  const all = (name: string) => new Set(values.get(name)!.data);
  expect([all("layers.1.weight"), all("layers.1.bias")]).toEqual([new Set([1]), new Set([0])]);
  expect([all("layers.4.running_mean"), all("layers.4.running_var")]).toEqual([new Set([0]), new Set([1])]);
  const uniform = await stateDict(stateOf({ ...SMALL, width: 200, gamma: "uniform" }));
  const gammas = uniform.get("layers.1.weight")!.data;
  expect(gammas.every((gamma) => gamma >= 0 && gamma < 1)).toBe(true);
  expect(new Set(gammas).size).toBeGreaterThan(150);
  // The same draws for every other tensor, and different ones for another seed.
  expect(uniform.get("layers.3.weight")).toEqual(values.get("layers.3.weight"));
  const other = await stateDict(stateOf({ ...SMALL, width: 200 }, 4));
  expect(other.get("layers.3.weight")).not.toEqual(values.get("layers.3.weight"));
});

test("saved and loaded, bit for bit; distances are measured from the loaded values", async () => {
  const written = await stateDict(stateOf(SMALL, 1));
  written.get("layers.1.running_mean")!.data.fill(0.25);
  const path = join(folder, "weights.safetensors");
  await writeSafetensors(path, written);
  const { tensors } = await readSafetensors(path);
  const read = new Map(
    [...tensors].map(([name, { shape, data }]) => [name, { shape, data: data as Float32Array<ArrayBuffer> }]),
  );
  const state = stateOf(SMALL, 2);
  await loadStateDict(state, read, path);
  expect(await stateDict(state)).toEqual(written);
  expect(await readFloats(state.start)).toEqual(await readFloats(state.values));
});

test("missing, superfluous and differently shaped tensors are named", async () => {
  const good = await stateDict(stateOf(SMALL));
  const state = stateOf(SMALL);
  const load = (change: (tensors: Map<string, StateTensor>) => void) => {
    const tensors = new Map(good);
    change(tensors);
    return loadStateDict(state, tensors, "w.safetensors");
  };
  await expect(load((t) => t.delete("layers.3.bias"))).rejects.toThrow(
    "w.safetensors: layers.3.bias [20] is missing, which the model needs",
  );
  await expect(load((t) => t.set("fc.weight", good.get("layers.0.bias")!))).rejects.toThrow(
    "contains fc.weight, which the model does not have",
  );
  const wide = load((t) => t.set("layers.6.weight", { shape: [20, 4], data: new Float32Array(80) }));
  await expect(wide).rejects.toThrow("layers.6.weight is [20, 4], but the model's is [4, 20]");
  await expect(wide).rejects.toThrow(DataError);
  await load((t) => t.set("layers.1.num_batches_tracked", { shape: [], data: new Float32Array(1) })); // PyTorch's own
});

test.each(["module.", "_orig_mod.", "_orig_mod.module.", "net.model."])(
  "weights whose names all begin with %s load as without it",
  async (prefix) => {
    const good = await stateDict(stateOf(SMALL, 1));
    const wrapped = [...good].map(([name, tensor]): [string, StateTensor] => [prefix + name, tensor]);
    const counter: [string, StateTensor] = [
      `${prefix}layers.1.num_batches_tracked`,
      { shape: [], data: new Float32Array(1) },
    ];
    const state = stateOf(SMALL, 2);
    await loadStateDict(state, new Map([...wrapped, counter]), "w.safetensors");
    expect(await stateDict(state)).toEqual(good);
    // With one name without the prefix, nothing is guessed.
    const mixed = new Map([...wrapped, ["layers.6.bias", good.get("layers.6.bias")!]]);
    await expect(loadStateDict(state, mixed, "w.safetensors")).rejects.toThrow(
      `layers.0.weight [20, 4] is missing, which the model needs; found ${prefix}layers.0.weight`.replace(
        "[20, 4]",
        `[${good.get("layers.0.weight")!.shape.join(", ")}]`,
      ),
    );
  },
);
