// A user's kernel: a correct one passes, in any valid spelling, and is timed.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { targetOf } from "../../src/bench/user-kernel.ts";
import { readKernel } from "../../src/bench/user-kernel-file.ts";
import { DataError, UsageError } from "../../src/support/errors.ts";
import { biasKernel, check, folder, kernelFile, OTHER, quick, RIGHT } from "../support/user-kernels.ts";

test.each([
  ["conv2d-direct.wgsl", "conv2d/forward"],
  ["matmul-direct.wgsl", "matmul/tiled"],
])("the example %s is correct", async (name, as) => {
  const example = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
  const report = await check(example, as);
  expect(report.problems).toEqual([]);
  expect(report.passed).toBe(true);
  expect(report.casesChecked).toBeGreaterThan(30);
  expect(report.casesWrong).toBe(0);
});

test("the message for a product that ignores its slices explains them", async () => {
  const example = readFileSync(new URL("../../examples/matmul-direct.wgsl", import.meta.url), "utf8");
  const whole = example.replace(/, ceil\(depth.*$/m, ")").replace("(at.z + 1u) * terms", "depth");
  const { problems } = await check(kernelFile(whole), "matmul/tiled");
  expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(["unwritten elements"]));
  expect(problems[0]!.message).toMatch(
    /elements of c were never written: c\[1, 0, 0\].*; here c is \[26, 5, 3\], partial results that reduce\/sum-rows adds up: every slice/,
  );
});

test("a correct kernel is timed beside the built-in one", async () => {
  const code = biasKernel("if (i < SIZE) { y[i] = x[i] + bias[i / HW % C]; }")
    .replace("(ceil(SIZE / 64), 1, 1)", "(ceil(HW / 64), SIZE / HW)")
    .replace("group.x * 64u + lane", "group.y * HW + min(group.x * 64u + lane, HW - 1u)");
  const file = kernelFile(code);
  const report = await check(file, "channel-bias/add", { n: 3, budgetMs: 20, paperCases: 1 });
  expect(report.problems).toEqual([]);
  const kernels = report.rows.map(({ kernel }) => kernel);
  expect(kernels).toEqual([file.replace(".wgsl", ""), "channel-bias/add"]);
  for (const { ms, gflops, roofline } of report.rows) {
    expect(ms.n).toBeGreaterThanOrEqual(3);
    expect(Math.min(ms.median, gflops, roofline)).toBeGreaterThan(0);
  }
});

describe("any valid spelling is the same kernel", () => {
  const plain = biasKernel(RIGHT);
  test.each<[string, string]>([
    ["ids on the same line", plain.replace(/override/g, (word, at) => `@id(${at}) ${word}`)],
    ["ids on separate lines", plain.replace(/override/g, (word, at) => `@id(${at}u)\n${word}`)],
    ["types inferred from defaults", plain.replaceAll(": u32;", " = 1u;")],
    ["indents", plain.replace(/^(override|@group)/gm, "  $1")],
    [
      "spaces and a trailing comma in brackets",
      plain.replaceAll("(0)", "( 0, )").replace("read_write>", "read_write , >"),
    ],
    ["bindings in any order", plain.replace(/(@group.*\n)(@group.*\n)(@group.*\n)/, "$3$1$2")],
    ["bindings with gaps", plain.replace("binding(2)", "binding(5)").replace("binding(1)", "binding(0x3)")],
    ["declarations in comments", `/* enable no_such_thing; override X: u32; */\n${plain}`],
    ["a grid in a block comment", `/*\n// @dispatch (1)\n*/\n${plain}`],
    ["a comment after the grid", plain.replace("1, 1)", "1, 1)   // flat")],
    [
      "a grid that uses the file's own override",
      plain.replace("/ 64)", "/ WG)").replace("(64)", "(WG)").concat("override WG = 64u;"),
    ],
    ["Windows line endings", plain.replaceAll("\n", "\r\n")],
    ["an entry point with a non-ASCII name", plain.replace("fn main", "fn größe")],
    [
      "an entry point named after a property of all JavaScript objects",
      plain.replace("fn main", "fn constructor"),
    ],
    ["a byte order mark", `\ufeff${plain}`],
    [
      "type aliases",
      plain.replaceAll("array<f32>", "Data").concat("alias Value = f32; alias Data = array<Value>;"),
    ],
    ["assertions", plain.replace("let i", "const_assert 1 < 2; let i").concat("const_assert 2u > 1u;")],
    ["a directive", `requires unrestricted_pointer_parameters;\n${plain}`],
    ["a phony assignment", plain.replace("let i", "_ = lane; let i")],
    [
      "entry points of other pipelines",
      `${plain}@vertex fn v() -> @builtin(position) vec4f { return vec4f(); }`,
    ],
  ])("%s", async (_, code) => {
    const report = await check(kernelFile(code), "channel-bias/add");
    expect(report).toMatchObject({ problems: [], passed: true, casesChecked: 2, notes: [] });
  });

  test("--entry selects one of several entry points", async () => {
    const file = kernelFile(biasKernel(RIGHT, `// @dispatch (1)\n${OTHER}`));
    const options = { ...quick, entry: "main" };
    expect((await check(file, "channel-bias/add", options)).problems).toEqual([]);
    const none = check(file, "channel-bias/add", { ...quick, entry: "mine" });
    await expect(none).rejects.toThrow(/^--entry mine: .*\.wgsl has other, main$/);
  });

  test("a file named like a built-in one is the user's", async () => {
    const before = process.cwd();
    mkdirSync(join(folder, "channel-bias"));
    writeFileSync(join(folder, "channel-bias/add.wgsl"), biasKernel(RIGHT.replace("x[i]", "2.0 * x[i]")));
    process.chdir(folder);
    try {
      const report = await check("channel-bias/add.wgsl", "channel-bias/add");
      expect(report.problems[0]).toMatchObject({ kind: "wrong values" });
    } finally {
      process.chdir(before);
    }
  });
});

test("unknown kernels and unreadable files are errors that say what is wrong", async () => {
  expect(() => targetOf("conv3d/forward")).toThrow(UsageError);
  expect(() => targetOf("conv3d/forward")).toThrow(/no such kernel; did you mean conv2d\/forward\?/);
  expect(() => targetOf("conv2d/backward")).toThrow(/conv2d has .*conv2d\/forward, .*conv2d\/forward-narrow/);
  expect(() => targetOf("transformer")).toThrow(/there are .*conv2d\/forward, .*matmul\/tiled/);
  const narrow = { kernel: "conv2d/forward-narrow.wgsl", variant: "narrow" };
  expect(targetOf("conv2d/forward-narrow")).toMatchObject(narrow);
  expect(targetOf("conv2d/grad-input").passes.map(({ name }) => name)).toEqual(["conv2d/grad-input"]);
  const read = (name: string, bytes: string | Uint8Array) => {
    writeFileSync(join(folder, name), bytes);
    return expect(() => readKernel(join(folder, name)));
  };
  await expect(check(join(folder, "none.wgsl"), "elementwise/relu")).rejects.toThrow(DataError);
  read("empty.wgsl", "").toThrow(/empty\.wgsl: empty; expected a kernel in WGSL$/);
  read("blank.wgsl", " \n").toThrow(/contains only blanks/);
  read("latin.wgsl", Uint8Array.of(0x2f, 0x2f, 0xe9)).toThrow(
    /latin\.wgsl: not UTF-8; WGSL is text in UTF-8$/,
  );
  execFileSync("mkfifo", [join(folder, "pipe.wgsl")]);
  expect(() => readKernel(join(folder, "pipe.wgsl"))).toThrow(
    /a pipe or a device, .* expected a \.wgsl file$/,
  );
  expect(() => readKernel(folder)).toThrow(/a folder; expected a \.wgsl file/);
  expect(() => readKernel(join(folder, "none.wgsl"))).toThrow(/none\.wgsl: no such file$/);
});
