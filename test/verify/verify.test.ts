// `ghostbatch verify`: correct references pass, each wrong one fails alone, and unknown ones are skipped.

import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { createModel } from "../../src/models/create-model.ts";
import { passes, worstOf } from "../../src/verify/compare.ts";
import { openReferenceFile } from "../../src/verify/reference-file.ts";
import { RunExecution } from "../../src/verify/run-execution.ts";
import { runSettings } from "../../src/verify/run-settings.ts";
import { type CaseResult, totalsOf } from "../../src/verify/verify.ts";
import { GOLDEN, golden, RUN, verify, write } from "./reference-files.ts";

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

const describeFailures = (results: readonly CaseResult[]) =>
  results
    .filter(({ status }) => status === "failed")
    .map(({ name, details, tensors }) => ({ name, details, worst: worstOf(tensors) }));

describe("golden files", () => {
  const CASES = { "ops.safetensors": 31, "train-f1.safetensors": 1, "train-resnet8.safetensors": 1 };

  test("no file is left out", () => {
    expect(readdirSync(GOLDEN).sort()).toEqual(Object.keys(CASES));
  });

  test.each(Object.entries(CASES))("%s: all of its %i cases pass", async (name, count) => {
    const results = await verify(gpu, join(GOLDEN, name));
    expect(describeFailures(results)).toEqual([]);
    expect(totalsOf(results)).toEqual({ passed: count, failed: 0, skipped: 0 });
  });
});

/** Tensors of an operation that are compared; grad_output, and grad_w.0 of an optimizer, are given. */
const OUTPUT = /^(output(_eval)?|grad_(?!output)[a-z]+|running_(mean|var)|correct_top\d|norm\.\d|[wb]\.\d)$/;

describe("a damaged reference", () => {
  test("makes exactly its own operation fail, in whichever tensor it is", async () => {
    const file = await golden("ops.safetensors");
    const damaged: { index: number; tensor: string }[] = [];
    for (const [index, { prefix, tensors }] of file.cases.entries()) {
      if (index % 2 === 0) continue;
      const outputs = tensors!.filter((name) => OUTPUT.test(name));
      const tensor = outputs[index % outputs.length]!;
      const { shape, data } = file.tensors.get(prefix + tensor)!;
      const values = data.slice() as Float32Array;
      // Whole numbers change by 1; 1e-3 of the norm is 50 times the largest tolerance.
      const norm = Math.sqrt([...values].reduce((sum, value) => sum + value ** 2, 0));
      values[values.length - 1]! += values instanceof Float32Array ? 1e-3 * Math.max(norm, 1e-3) : 1;
      file.tensors.set(prefix + tensor, { shape, data: values });
      damaged.push({ index, tensor });
    }
    const results = await verify(gpu, await write("damaged.safetensors", file));
    const failed = results.filter(({ status }) => status === "failed");
    const failing = failed.map(({ index, tensors }) => ({
      index,
      tensor: tensors
        .filter((each) => !passes(each))
        .map((each) => each.tensor)
        .join(),
    }));
    expect(failing).toEqual(damaged);
  });

  test.each([
    ["losses", "losses[0],losses[1],losses[2]"],
    ["grad_norms", "grad_norms[0],grad_norms[1],grad_norms[2]"],
    ["distances", "distances[0],distances[1],distances[2]"],
    ["grad0.layers.1.bias", "grad0.layers.1.bias"],
    ["final.layers.4.running_var", "final.layers.4.running_var"],
    ["eval_logits", "eval_logits"],
  ])("makes a run fail in %s", async (tensor, expected) => {
    const file = await golden("train-f1.safetensors");
    const { shape, data } = file.tensors.get(tensor)!;
    file.tensors.set(tensor, { shape, data: (data as Float32Array).map((value) => value * 1.002) });
    const [result] = await verify(gpu, await write("run.safetensors", file));
    const failing = result!.tensors.filter((each) => !passes(each)).map((each) => each.tensor);
    expect(failing.join()).toBe(expected);
    expect(result!.status).toBe("failed");
  });

  test("a result that is not a number fails", async () => {
    const { tensors, cases } = await golden("ops.safetensors");
    const added = cases.find(({ op }) => op === "add")!;
    const a = tensors.get(`${added.prefix}a`)!;
    tensors.set(`${added.prefix}a`, { ...a, data: (a.data as Float32Array).with(3, Number.NaN) });
    const [result] = await verify(gpu, await write("nan.safetensors", { tensors, cases: [added] }));
    expect(result!.status).toBe("failed");
    expect(worstOf(result!.tensors)!.tensor).toBe("output");
  });
});

describe("a run that amplifies rounding", () => {
  /** Twelve steps at a rate of 2, from the engine itself, on images changed by less than accumulated rounding. */
  async function sensitiveRun() {
    const file = await golden("train-f1.safetensors");
    const settings = file.cases[0] as { steps: number; lr: number; clip_norm: number };
    for (let t = settings.steps; t < 12; t++) {
      for (const name of ["x", "labels"])
        file.tensors.set(`${name}.${t}`, file.tensors.get(`${name}.${t % settings.steps}`)!);
    }
    Object.assign(settings, { steps: 12, lr: 2, clip_norm: 0 });
    const open = await openReferenceFile(await write("sensitive.safetensors", file));
    const reference = open.cases[0]!;
    const { options } = runSettings(reference);
    const model = createModel("f1", { channels: 1, height: 28, width: 28, classes: 10 }, options);
    const execution = await RunExecution.create(gpu, model, reference, runSettings(reference));
    const changed = await execution.run((images) =>
      images.map((value, i) => value * (1 + ((i % 3) - 1) * 2e-6)),
    );
    await open.close();
    for (const [name, values] of changed) file.tensors.set(name, values);
    return file;
  }

  test("passes if it differs by as much as rounding, and still fails if it is wrong", async () => {
    const file = await sensitiveRun();
    const [passed] = await verify(gpu, await write("sensitive.safetensors", file));
    expect(passed!.status).toBe("passed");
    expect(passed!.tensors.filter(({ error, tolerance }) => error > tolerance).length).toBeGreaterThan(5);
    const name = "final.layers.4.weight";
    file.tensors.set(name, {
      ...file.tensors.get(name)!,
      data: new Float32Array(file.tensors.get(name)!.data.length).fill(1e-9),
    });
    const [failed] = await verify(gpu, await write("sensitive.safetensors", file));
    expect(failed!.tensors.filter((each) => !passes(each)).map((each) => each.tensor)).toEqual([name]);
  });
});

test("operations and models that the engine does not know are skipped by name", async () => {
  const { tensors, cases } = await golden("ops.safetensors");
  const unknown = [
    { ...cases[0], op: "fourier" },
    { model: "lenet", options: {}, ...RUN },
  ];
  const results = await verify(gpu, await write("unknown.safetensors", { tensors, cases: unknown }));
  expect(results.map(({ status, reason }) => [status, reason])).toEqual([
    ["skipped", "no operation fourier"],
    ["skipped", "no model lenet"],
  ]);
});
