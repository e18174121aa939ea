// Kernels of a user's own: a right one passes, and whatever is wrong with one is told by name.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { benchUserKernel, targetOf, type UserKernelReport } from "../../src/bench/user-kernel.ts";
import { userKernelInProcess } from "../../src/bench/user-kernel-process.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/node/open-gpu.ts";
import { DataError, UsageError } from "../../src/support/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "kernels-"));
afterAll(() => rmSync(folder, { recursive: true }));

let gpu: Gpu;
beforeAll(async () => {
  gpu = await openGpu();
});

const quick = { n: 3, budgetMs: 1, paperCases: 0 };

function check(file: string, as: string, options = quick): Promise<UserKernelReport> {
  return benchUserKernel(gpu, { file, as, ...options }, () => undefined);
}

/** y = x + bias[c], a value a lane; `body` is what a lane does with its i. */
function biasKernel(body: string, head = ""): string {
  return `// @dispatch (ceil(SIZE / 64), 1, 1)
override C: u32;
override HW: u32;
override SIZE: u32;
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> bias: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
${head}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = group.x * 64u + lane;
  ${body}
}
`;
}

const RIGHT = "if (i < SIZE) { y[i] = x[i] + bias[i / HW % C]; }";

let written = 0;
function kernelFile(code: string): string {
  const path = join(folder, `${written++}.wgsl`);
  writeFileSync(path, code);
  return path;
}

test("the example of docs/WRITING-A-KERNEL.md is right", async () => {
  const example = fileURLToPath(new URL("../../examples/conv2d-direct.wgsl", import.meta.url));
  const report = await check(example, "conv2d/forward");
  expect(report.problems).toEqual([]);
  expect(report.passed).toBe(true);
  expect(report.casesChecked).toBeGreaterThan(30);
  expect(report.casesWrong).toBe(0);
});

test("a right kernel is timed beside the built-in one", async () => {
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

describe("what is wrong is told by name", () => {
  const small = (code: string) => check(kernelFile(code), "channel-bias/add");
  const kinds = ({ problems }: UserKernelReport) => new Set(problems.map(({ kind }) => kind));
  const whole = biasKernel(RIGHT);
  const withoutBias = whole.replace(/^.*binding\(1\).*\n/m, "").replace("binding(2)", "binding(1)");
  const params = "struct Params { count: u32 }\n@group(0) @binding(3) var<uniform> params: Params;";

  test.each([
    ["missing binding", withoutBias, /lacks the binding bias \(read\)/],
    ["missing override", whole.replace("override HW: u32;", "const HW = 1u;"), /lacks `override HW: …;`/],
    [
      "wrong interface",
      whole.replace("storage, read>", "storage, read_write>"),
      /binds x as read_write, not as read/,
    ],
    ["wrong interface", biasKernel(RIGHT, params), /Params has count; there are only none/],
    [
      "wrong interface",
      biasKernel(RIGHT, "override N: u32;"),
      /override N has no default, and nothing sets it/,
    ],
    [
      "does not compile",
      biasKernel("y[i] = missing;"),
      /\.wgsl:12:10: unresolved value 'missing' \| y\[i\] = missing;/,
    ],
    [
      "does not compile",
      whole.replace("ceil(", "round("),
      /\.wgsl:1: @dispatch: there is no round; there are C, HW, SIZE/,
    ],
    [
      "does not compile",
      whole.replace("ceil(SIZE / 64)", "SIZE / 64"),
      /\.wgsl:1: @dispatch: makes a grid of .* \(use ceil\)/,
    ],
  ])("%s", async (kind, code, message) => {
    const report = await small(code);
    expect(report.passed).toBe(false);
    expect(report.problems[0]!.kind).toBe(kind);
    expect(report.problems[0]!.message).toMatch(message);
  });

  test("it writes nothing", async () => {
    const report = await small(biasKernel("if (i > 0x7fffffffu) { y[i] = x[i] + bias[0]; }"));
    expect(report.problems[0]).toMatchObject({ kind: "writes nothing" });
    expect(report.problems[0]!.message).toMatch(/no element of y was written/);
    expect(report.casesWrong).toBe(report.casesChecked);
  });

  test("it leaves elements out", async () => {
    const report = await small(biasKernel(RIGHT.replace("i < SIZE", "i + 1u < SIZE")));
    expect(kinds(report)).toEqual(new Set(["unwritten elements"]));
    expect(report.problems[0]!.message).toMatch(
      /^1 of 315 elements of y were never written: y\[2, 4, 2, 6\]/,
    );
  });

  test("its values are wrong", async () => {
    const report = await small(biasKernel(RIGHT.replace("x[i]", "x[i] * 1.001")));
    expect(kinds(report)).toEqual(new Set(["wrong values"]));
    expect(report.problems[0]!.message).toMatch(/values of y are off; worst y\[\d.*: got .*, expected /);
    expect(report.rows).toEqual([]);
  });

  test("it reads beyond an end, though the results are right", async () => {
    const report = await small(biasKernel(RIGHT.replace("x[i]", "x[i] * (1.0 + 1e-36 * x[SIZE + i])")));
    expect(kinds(report)).toEqual(new Set(["reads out of bounds"]));
    expect(report.problems[0]!.message).toMatch(/reads beyond the end of x: \d+ elements of y change/);
    expect(report.casesWrong).toBe(0);
  });

  test("it writes beyond an end", async () => {
    const report = await small(biasKernel("let j = min(i, SIZE - 1u); y[i] = x[j] + bias[j / HW % C];"));
    expect(kinds(report)).toEqual(new Set(["writes out of bounds"]));
    expect(report.problems[0]!.message).toMatch(/writes beyond the end of y/);
  });

  test("its lanes race for workgroup memory", async () => {
    const head = "var<workgroup> shared_values: array<f32, 64>;";
    const body = `let j = min(i, SIZE - 1u);
  shared_values[lane] = x[j];
  let own = shared_values[lane];
  shared_values[(lane + 1u) % 64u] = own;
  if (i < SIZE) { y[i] = own + bias[j / HW % C]; }`;
    expect(kinds(await small(biasKernel(body, head)))).toContain("race");
  });
});

test("a kernel that never ends takes down a process of its own, and is told", async () => {
  const forever = `var n = 1u;
  loop { n = n * 3u + SIZE; if (n == 0u) { break; } }
  ${RIGHT.replace("x[i]", "f32(n) + x[i]")}`;
  const phases: string[] = [];
  const report = await userKernelInProcess(
    { file: kernelFile(biasKernel(forever)), as: "channel-bias/add", ...quick },
    { limitSeconds: 4, onPhase: (phase) => phases.push(phase) },
  );
  expect(report.passed).toBe(false);
  const message = expect.stringMatching(/^no end after 4 s while checking channel-bias\/add/);
  expect(report.problems).toEqual([{ kind: "never ends", message }]);
  expect(phases).toContain("reading");
});

test("names and files that are not there", async () => {
  expect(() => targetOf("conv3d/forward")).toThrow(UsageError);
  expect(() => targetOf("conv3d/forward")).toThrow(/there are .*conv2d\/forward, conv2d\/forward-narrow/);
  const narrow = { kernel: "conv2d/forward-narrow.wgsl", variant: "narrow" };
  expect(targetOf("conv2d/forward-narrow")).toMatchObject(narrow);
  expect(targetOf("conv2d/grad-input").passes.map(({ name }) => name)).toEqual(["conv2d/grad-input"]);
  await expect(check(join(folder, "none.wgsl"), "elementwise/relu")).rejects.toThrow(DataError);
});
