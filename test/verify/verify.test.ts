// `ghostbatch verify`: right references pass, wrong ones fail, each by itself, and files that make no sense are refused.

import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/open-gpu.ts";
import { createModel } from "../../src/models/index.ts";
import { readSafetensors, type TensorToStore, writeSafetensors } from "../../src/storage/safetensors.ts";
import { DataError } from "../../src/support/errors.ts";
import { compare, passes, roundingTolerance, worstOf } from "../../src/verify/compare.ts";
import { openReferenceFile } from "../../src/verify/reference-file.ts";
import { RunExecution } from "../../src/verify/run-execution.ts";
import { runSettings } from "../../src/verify/run-settings.ts";
import { type CaseResult, totalsOf, verifyFile } from "../../src/verify/verify.ts";

const GOLDEN = fileURLToPath(new URL("../golden/", import.meta.url));

let gpu: Gpu;
let folder: string;
beforeAll(async () => {
  gpu = await openGpu();
  folder = await mkdtemp(join(tmpdir(), "ghostbatch-verify-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function verify(path: string): Promise<CaseResult[]> {
  const file = await openReferenceFile(path);
  try {
    const results: CaseResult[] = [];
    for await (const result of verifyFile(gpu, file)) results.push(result);
    return results;
  } finally {
    await file.close();
  }
}

interface Case {
  [attribute: string]: unknown;
  op?: string;
  prefix?: string;
  tensors?: string[];
}

/** A golden file in memory, to be damaged. */
async function golden(name: string): Promise<{ tensors: Map<string, TensorToStore>; cases: Case[] }> {
  const { tensors, metadata } = await readSafetensors(join(GOLDEN, name));
  return { tensors: new Map(tensors), cases: JSON.parse(metadata.get("cases")!) as Case[] };
}

async function write(
  name: string,
  { tensors, cases }: { tensors: Map<string, TensorToStore>; cases: unknown },
): Promise<string> {
  const path = join(folder, name);
  await writeSafetensors(
    path,
    tensors,
    typeof cases === "string" ? { cases } : { cases: JSON.stringify(cases) },
  );
  return path;
}

const describeFailures = (results: readonly CaseResult[]) =>
  results
    .filter(({ status }) => status === "failed")
    .map(({ name, details, tensors }) => ({ name, details, worst: worstOf(tensors) }));

describe("golden files", () => {
  for (const name of readdirSync(GOLDEN).filter((file) => file.endsWith(".safetensors"))) {
    test(`${name} passes`, async () => {
      const results = await verify(join(GOLDEN, name));
      expect(describeFailures(results)).toEqual([]);
      expect(totalsOf(results)).toEqual({ passed: results.length, failed: 0, skipped: 0 });
    });
  }
});

/** Tensors of an operation that are compared; grad_output, and grad_w.0 of an optimizer, are given. */
const OUTPUT = /^(output(_eval)?|grad_(?!output)[a-z]+|running_(mean|var)|correct_top\d|norm\.\d|[wb]\.\d)$/;

describe("a damaged reference", () => {
  test("makes exactly its operations fail, whichever tensor it is in", async () => {
    const file = await golden("ops.safetensors");
    const damaged: { index: number; tensor: string }[] = [];
    for (const [index, { prefix, tensors }] of file.cases.entries()) {
      if (index % 2 === 0) continue;
      const outputs = tensors!.filter((name) => OUTPUT.test(name));
      const tensor = outputs[index % outputs.length]!;
      const { shape, data } = file.tensors.get(prefix + tensor)!;
      const values = data.slice() as Float32Array;
      // One unit for the whole numbers; 1e-3 of the norm is 50 times the largest tolerance.
      const norm = Math.sqrt([...values].reduce((sum, value) => sum + value ** 2, 0));
      values[values.length - 1]! += values instanceof Float32Array ? 1e-3 * Math.max(norm, 1e-3) : 1;
      file.tensors.set(prefix + tensor, { shape, data: values });
      damaged.push({ index, tensor });
    }
    const results = await verify(await write("damaged.safetensors", file));
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
    const [result] = await verify(await write("run.safetensors", file));
    const failing = result!.tensors.filter((each) => !passes(each)).map((each) => each.tensor);
    expect(failing.join()).toBe(expected);
    expect(result!.status).toBe("failed");
  });

  test("a result that is not a number fails", async () => {
    const { tensors, cases } = await golden("ops.safetensors");
    const added = cases.find(({ op }) => op === "add")!;
    const a = tensors.get(`${added.prefix}a`)!;
    tensors.set(`${added.prefix}a`, { ...a, data: (a.data as Float32Array).with(3, Number.NaN) });
    const [result] = await verify(await write("nan.safetensors", { tensors, cases: [added] }));
    expect(result!.status).toBe("failed");
    expect(worstOf(result!.tensors)!.tensor).toBe("output");
  });
});

describe("a run that multiplies roundings", () => {
  /** Twelve steps at a rate of 2, from the engine itself, on images that differ by less than roundings add up to. */
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

  test("passes where it is off by as much as rounding does, and still fails where it is wrong", async () => {
    const file = await sensitiveRun();
    const [passed] = await verify(await write("sensitive.safetensors", file));
    expect(passed!.status).toBe("passed");
    expect(passed!.tensors.filter(({ error, tolerance }) => error > tolerance).length).toBeGreaterThan(5);
    const name = "final.layers.4.weight";
    file.tensors.set(name, {
      ...file.tensors.get(name)!,
      data: new Float32Array(file.tensors.get(name)!.data.length).fill(1e-9),
    });
    const [failed] = await verify(await write("sensitive.safetensors", file));
    expect(failed!.tensors.filter((each) => !passes(each)).map((each) => each.tensor)).toEqual([name]);
  });
});

test("what the engine does not know is skipped by name", async () => {
  const { tensors, cases } = await golden("ops.safetensors");
  const run = {
    model: "lenet",
    options: {},
    batch: 4,
    ghost_size: 2,
    steps: 1,
    lr: 1,
    momentum: 0,
    weight_decay: 0,
    clip_norm: 0,
  };
  const unknown = [
    { ...cases[0], op: "fourier" },
    { ...run, bn_momentum: 0.1, bn_eps: 1e-5 },
  ];
  const results = await verify(await write("unknown.safetensors", { tensors, cases: unknown }));
  expect(results.map(({ status, reason }) => [status, reason])).toEqual([
    ["skipped", "no operation fourier"],
    ["skipped", "no model lenet"],
  ]);
});

describe("errors and tolerances", () => {
  const close = { tolerance: 1e-5 };
  test.each([
    ["equal", [1, 2], [1, 2], 0, true],
    ["far", [1, 2.1], [1, 2], 0.1 / Math.sqrt(5), false],
    ["NaN", [Number.NaN, 2], [1, 2], Number.NaN, false],
    ["NaN on both sides", [Number.NaN], [Number.NaN], Number.NaN, false],
    ["infinite", [Number.POSITIVE_INFINITY], [1], Number.POSITIVE_INFINITY, false],
    ["zeros", [0, 0], [0, 0], 0, true],
    ["something for nothing", [1e-30], [0], Number.POSITIVE_INFINITY, false],
    ["too short", [1], [1, 2], Number.POSITIVE_INFINITY, false],
  ])("%s", (_, actual, data, error, passed) => {
    const comparison = compare("x", actual, { shape: [data.length], data }, close);
    if (Number.isFinite(error)) expect(comparison.error).toBeCloseTo(error, 12);
    else expect(comparison.error).toBe(error);
    expect(passes(comparison)).toBe(passed);
  });

  test("an error is relative to the floor where the reference is below it", () => {
    expect(compare("x", [1e-7], { shape: [1], data: [0] }, { ...close, floor: 0.1 }).error).toBeCloseTo(
      1e-6,
      12,
    );
  });

  test("NaN is the worst there is", () => {
    const comparisons = [Number.NaN, 5, 0].map((error) => ({ tensor: `${error}`, error, tolerance: 1 }));
    expect(worstOf(comparisons)!.tensor).toBe("NaN");
    expect(worstOf(comparisons.toReversed())!.tensor).toBe("NaN");
  });

  test("a tolerance grows with the root of the terms, up to 2e-5", () => {
    expect(roundingTolerance(1)).toBe(2e-6);
    expect(roundingTolerance(16)).toBe(8e-6);
    expect(roundingTolerance(1e6)).toBe(2e-5);
  });
});

describe("a file that makes no sense is refused in one line", () => {
  const x = { shape: [2, 3], data: new Float32Array(6) };
  const vector = { shape: [3], data: new Float32Array(3) };
  const labels = { shape: [2], data: new Int32Array([0, 3]) };
  const relu = { op: "relu", prefix: "", tensors: ["x", "output", "grad_output", "grad_x"] };
  const sameShapes = { x, output: x, grad_output: x, grad_x: x };
  const run = {
    model: "f1",
    batch: 2,
    ghost_size: 2,
    steps: 1,
    lr: 1,
    momentum: 0,
    weight_decay: 0,
    clip_norm: 0,
    bn_momentum: 0.1,
    bn_eps: 1e-5,
  };
  const refusals: [what: string, cases: unknown, tensors: Record<string, TensorToStore>, message: RegExp][] =
    [
      ["cases that are not JSON", "[{", { x }, /"cases" of its __metadata__ are not JSON/],
      ["no case", [], { x }, /at least one case/],
      ["a case of no kind", [{ shape: 3 }], { x }, /case 0: expected \{"op", .*\} or \{"model", …\}/],
      ["a case without tensors", [{ op: "relu", prefix: "" }], { x }, /case 0: .*tensors/],
      [
        "a tensor that is missing",
        [relu],
        { x, output: x, grad_output: x },
        /case 0 \(relu\): names the tensor "grad_x", but the file has no "grad_x"/,
      ],
      [
        "a tensor that the case forgot",
        [{ ...relu, tensors: ["x"] }],
        { x },
        /case 0 \(relu\): has no tensor "output"/,
      ],
      [
        "an output of another shape",
        [relu],
        { ...sameShapes, output: vector, grad_output: vector },
        /output is \[3\], the operation's is \[2, 3\]/,
      ],
      [
        "a gradient of another shape",
        [relu],
        { ...sameShapes, grad_output: vector },
        /grad_output is \[3\], expected \[2, 3\]/,
      ],
      [
        "an attribute that is missing",
        [{ ...relu, op: "ghost_batch_norm" }],
        sameShapes,
        /case 0 \(ghost_batch_norm\): ghost_size: /,
      ],
      [
        "a ghost of one value",
        [{ ...relu, op: "ghost_batch_norm", ghost_size: 1, eps: 1e-5, momentum: 0.1 }],
        {
          ...sameShapes,
          weight: vector,
          bias: vector,
          running_mean_before: vector,
          running_var_before: vector,
        },
        /too few for a variance/,
      ],
      [
        "a label out of range",
        [{ ...relu, op: "cross_entropy", tensors: ["x", "labels"] }],
        { x, labels },
        /labels\[1\] is 3, expected 0 to 2/,
      ],
      ["a setting that is missing", [{ ...run, batch: undefined }], { x }, /case 0 \(f1\): batch: /],
      ["a run without images", [run], { x }, /case 0 \(f1\): has no tensor "x.0"/],
      [
        "an option that the model does not have",
        [{ ...run, options: { height: 3 } }],
        {
          "x.0": { shape: [2, 1, 2, 2], data: new Float32Array(8) },
          eval_logits: { shape: [2, 3], data: new Float32Array(6) },
        },
        /case 0 \(f1\): .*option height/,
      ],
      [
        "weights that are missing",
        [run],
        {
          "x.0": { shape: [2, 1, 2, 2], data: new Float32Array(8) },
          eval_logits: { shape: [2, 3], data: new Float32Array(6) },
        },
        /layers\.0\.weight/,
      ],
    ];

  test.each(refusals)("%s", async (_, cases, tensors, message) => {
    const path = await write("refused.safetensors", { tensors: new Map(Object.entries(tensors)), cases });
    const error: unknown = await verify(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(DataError);
    const text = (error as DataError).message;
    expect(text).toMatch(message);
    expect(text.startsWith(path)).toBe(true);
    expect(text).not.toContain("\n");
  });

  test("weights without cases, foreign and missing files", async () => {
    const [weights, foreign] = [join(folder, "weights.safetensors"), join(folder, "foreign.safetensors")];
    await writeSafetensors(weights, [["x", x]]);
    await writeFile(foreign, "this is not a safetensors file");
    await expect(verify(weights)).rejects.toThrow(
      /weights.safetensors: is no reference file: its __metadata__ has no "cases"/,
    );
    await expect(verify(foreign)).rejects.toThrow(
      /foreign.safetensors: byte 0: expected the length of a safetensors header/,
    );
    await expect(verify(join(folder, "nowhere.safetensors"))).rejects.toThrow(
      /nowhere.safetensors: cannot read: there is no such file/,
    );
  });
});

describe("the command line", () => {
  const program = fileURLToPath(new URL("../../bin/ghostbatch.mjs", import.meta.url));
  const ghostbatch = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], { encoding: "utf8" });
    return { status, stderr, lines: stdout.trimEnd().split("\n"), stdout };
  };

  test("one line for each case, the totals last, exit code 1 for a failure", async () => {
    const { tensors, cases } = await golden("ops.safetensors");
    const relu = cases.find(({ op }) => op === "relu")!;
    const add = cases.find(({ op }) => op === "add")!;
    const output = tensors.get(`${add.prefix}output`)!;
    tensors.set(`${add.prefix}output`, { ...output, data: (output.data as Float32Array).with(0, 1e6) });
    const path = await write("mixed.safetensors", {
      tensors,
      cases: [relu, add, { ...relu, op: "fourier" }],
    });

    const text = ghostbatch("verify", path);
    expect(text.status).toBe(1);
    expect(text.lines).toEqual([
      expect.stringMatching(/^adapter: /),
      path,
      expect.stringMatching(/^ {2}passed {2}relu \[101\]: 2 tensors, worst \w+ \S+ \(tolerance 2\.0e-6\)$/),
      expect.stringMatching(/^ {2}FAILED {2}add \[3, 5, 7\]: 1 of 3 tensors differ, worst output 1\.0e\+0 /),
      "  SKIPPED fourier [101]: no operation fourier",
      "NOT CHECKED, unknown to this engine: fourier (1)",
      "FAILED: add (1)",
      "1 passed, 1 failed, 1 skipped",
    ]);

    const json = ghostbatch("verify", "--json", path);
    expect(json.status).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({
      passed: 1,
      failed: 1,
      skipped: 1,
      files: [
        {
          path,
          cases: [
            { name: "relu", status: "passed" },
            { name: "add", status: "failed", tensors: [{ tensor: "output", passed: false }, {}, {}] },
            { name: "fourier", status: "skipped" },
          ],
        },
      ],
    });
  });

  test("a file that is missing ends with exit code 2 and one line", () => {
    const { status, stderr } = ghostbatch("verify", join(folder, "nowhere.safetensors"));
    expect(status).toBe(2);
    expect(stderr).toMatch(
      /^error: .*nowhere\.safetensors: cannot read: there is no such file or folder.*\n$/,
    );
  });
});
