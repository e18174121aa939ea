// Kernels of a user's own: a right one passes, and whatever is wrong with one is told by name.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { benchUserKernel, targetOf, type UserKernelReport } from "../../src/bench/user-kernel.ts";
import { userKernelInProcess } from "../../src/bench/user-kernel-process.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { openGpu } from "../../src/host/open-gpu.ts";
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

/** y = max(x, 0), one value a lane; `body` is what a lane does with its i. */
function reluKernel(body: string, { head = "", count = 64 }: { head?: string; count?: number } = {}): string {
  return `// @dispatch (ceil(count / ${count}), 1, 1)
struct Params { count: u32 }
alias Element = f32;  // @spec
@group(0) @binding(0) var<storage, read> x: array<Element>;
@group(0) @binding(1) var<storage, read_write> y: array<Element>;
@group(0) @binding(2) var<uniform> params: Params;
${head}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let i = group.x * 64u + lane;
  ${body}
}
`;
}

const RIGHT = "if (i < params.count) { y[i] = max(x[i], Element()); }";

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
  // The largest case has more lanes than one axis of a grid holds.
  const code = reluKernel(RIGHT)
    .replace("(ceil(count / 64), 1, 1)", "(min(65535, ceil(count / 64)), ceil(count / 4194240), 1)")
    .replace("group.x * 64u", "(group.y * 65535u + group.x) * 64u");
  const file = kernelFile(code);
  const report = await check(file, "elementwise/relu", { n: 3, budgetMs: 20, paperCases: 1 });
  expect(report.problems).toEqual([]);
  const kernels = report.rows.map(({ kernel }) => kernel);
  expect(kernels).toEqual([file.replace(".wgsl", ""), "elementwise/relu"]);
  for (const { ms, gflops, roofline } of report.rows) {
    expect(ms.n).toBeGreaterThanOrEqual(3);
    expect(Math.min(ms.median, gflops, roofline)).toBeGreaterThan(0);
  }
});

describe("what is wrong is told by name", () => {
  const small = (code: string) => check(kernelFile(code), "elementwise/relu");
  // Without the case of four million values, which these kernels' plain grids do not hold.
  const grid = (body: string, options?: Parameters<typeof reluKernel>[1]) =>
    reluKernel(body, options)
      .replace("(ceil(count / 64), 1, 1)", "(min(65535, ceil(count / 64)), ceil(count / 4194240), 1)")
      .replace("group.x * 64u", "(group.y * 65535u + group.x) * 64u");
  const kinds = ({ problems }: UserKernelReport) => new Set(problems.map(({ kind }) => kind));

  test.each([
    [
      "missing binding",
      reluKernel(RIGHT)
        .replace(/^@group\(0\) @binding\(0\).*\n/m, "")
        .replaceAll("binding(1)", "binding(0)")
        .replaceAll("binding(2)", "binding(1)"),
      /lacks the binding x \(read\)/,
    ],
    [
      "wrong interface",
      reluKernel(RIGHT).replace("storage, read>", "storage, read_write>"),
      /binds x as read_write, not as read/,
    ],
    [
      "wrong interface",
      reluKernel(RIGHT).replace("{ count: u32 }", "{ count: u32, size: u32 }"),
      /Params has size; there are only count/,
    ],
    [
      "wrong interface",
      reluKernel(RIGHT, { head: "override SIZE: u32;" }),
      /override SIZE has no default, and nothing sets it/,
    ],
    [
      "does not compile",
      reluKernel("y[i] = missing;"),
      /\.wgsl:11:10: unresolved value 'missing' \| y\[i\] = missing;/,
    ],
    [
      "does not compile",
      reluKernel(RIGHT).replace("ceil(count", "round(count"),
      /\.wgsl:1: @dispatch: there is no round; there are Element, count/,
    ],
  ])("%s", async (kind, code, message) => {
    const report = await small(code);
    expect(report.passed).toBe(false);
    expect(report.problems[0]!.kind).toBe(kind);
    expect(report.problems[0]!.message).toMatch(message);
  });

  test("a missing override", async () => {
    const code = `@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> weight: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
override C: u32;
@compute @workgroup_size(1) fn main() { y[0] = x[C] * weight[0]; }`;
    const { problems } = await check(kernelFile(code), "conv2d/forward");
    expect(kinds({ problems } as UserKernelReport)).toEqual(new Set(["missing override"]));
    expect(problems.map(({ message }) => message).join()).toMatch(/lacks `override H: …;`/);
  });

  test("it writes nothing", async () => {
    const report = await small(grid("if (i > 0x7fffffffu) { y[i] = x[i]; }"));
    expect(report.problems[0]).toMatchObject({ kind: "writes nothing" });
    expect(report.problems[0]!.message).toMatch(/no element of y was written/);
    expect(report.casesWrong).toBe(report.casesChecked);
  });

  test("it leaves elements out", async () => {
    const report = await small(grid(RIGHT.replace("i < params.count", "i + 1u < params.count")));
    const unwritten = report.problems.filter(({ kind }) => kind === "unwritten elements");
    expect(unwritten.map(({ message }) => message).join()).toMatch(/elements of y were never written: y\[/);
  });

  test("its values are wrong", async () => {
    const report = await small(grid(RIGHT.replace("x[i]", "x[i] * 1.001")));
    expect(kinds(report)).toEqual(new Set(["wrong values"]));
    expect(report.problems[0]!.message).toMatch(/values of y are off; worst y\[\d.*: got .*, expected /);
    expect(report.rows).toEqual([]);
  });

  test("it reads beyond an end, though the results are right", async () => {
    const report = await small(
      grid("if (i < params.count) { y[i] = max(x[i] + 0.0 * x[params.count + i], Element()); }"),
    );
    expect(kinds(report)).toEqual(new Set(["reads out of bounds"]));
    expect(report.problems[0]!.message).toMatch(/reads beyond the end of x: \d+ elements of y change/);
    expect(report.casesWrong).toBe(0);
  });

  test("it writes beyond an end", async () => {
    const report = await small(grid("y[i] = max(x[min(i, params.count - 1u)], Element());"));
    expect(kinds(report)).toEqual(new Set(["writes out of bounds"]));
    expect(report.problems[0]!.message).toMatch(/writes beyond the end of y/);
  });

  test("its lanes race for workgroup memory", async () => {
    const head = "var<workgroup> shared_value: array<Element, 64>;";
    const body = `shared_value[lane] = x[min(i, params.count - 1u)];
  let own = shared_value[63u - (63u - lane)];
  shared_value[(lane + 1u) % 64u] = own;
  if (i < params.count) { y[i] = max(own, Element()); }`;
    const report = await small(grid(body, { head }));
    expect(kinds(report)).toContain("race");
  });
});

test("a kernel that never ends takes down a process of its own, and is told", async () => {
  const file = kernelFile(
    reluKernel(
      `var n = 1u; loop { n = n * 3u + params.count; if (n == 0u) { break; } } ${RIGHT} y[0] += Element(f32(n));`,
    ),
  );
  const phases: string[] = [];
  const report = await userKernelInProcess(
    { file, as: "elementwise/relu", ...quick },
    { limitSeconds: 8, onPhase: (phase) => phases.push(phase) },
  );
  expect(report.passed).toBe(false);
  expect(report.problems[0]!.kind).toBe("never ends");
  expect(report.problems[0]!.message).toMatch(/no end after 8 s while checking elementwise\/relu/);
  expect(phases).toContain("reading");
}, 60_000);

test("names and files that are not there", async () => {
  expect(() => targetOf("conv3d/forward")).toThrow(UsageError);
  expect(() => targetOf("conv3d/forward")).toThrow(/there are .*conv2d\/forward, conv2d\/forward-narrow/);
  expect(targetOf("conv2d/forward-narrow")).toMatchObject({
    kernel: "conv2d/forward-narrow.wgsl",
    variant: "narrow",
  });
  expect(targetOf("conv2d/grad-input").passes.map(({ name }) => name)).toEqual(["conv2d/grad-input"]);
  await expect(check(join(folder, "none.wgsl"), "elementwise/relu")).rejects.toThrow(DataError);
});
