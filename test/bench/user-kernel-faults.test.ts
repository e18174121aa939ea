// Every fault of a user's kernel is reported by name.

import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { UserKernelReport } from "../../src/bench/user-kernel.ts";
import { biasKernel, check, kernelFile, OTHER, RIGHT } from "../support/user-kernels.ts";

describe("a fault is reported by name", () => {
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
    ["wrong interface", biasKernel(RIGHT, params), /\.wgsl:8:17: params has count; the only fields are none/],
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
      "wrong interface",
      whole.replace("ceil(", "round("),
      /\.wgsl:1:15: @dispatch: there is no function round/,
    ],
    [
      "wrong interface",
      whole.replace("ceil(SIZE / 64)", "SIZE / 64"),
      /\.wgsl:1:1: @dispatch: gives a grid of .* \(use ceil\)/,
    ],
    [
      "wrong interface",
      whole.replace("@group(0) @binding(1)", "@group(1) @binding(0)"),
      /\.wgsl:6:42: bias is in group 1: ghostbatch binds only group 0/,
    ],
    [
      "wrong interface",
      biasKernel(RIGHT, OTHER),
      /\.wgsl:10:4: 2 entry points, other, main; name .* --entry/,
    ],
    ["wrong interface", "// nothing but a comment", /\.wgsl:1:1: no entry point/],
    [
      "wrong interface",
      whole.replace("// @dispatch", "// @dispatch (1)\n// @dispatch"),
      /\.wgsl:2:1: a second @dispatch line for main; the first is at .*\.wgsl:1:1/,
    ],
    ["does not compile", whole.replace("_size(64)", "_size(100000)"), /workgroup/],
    [
      "does not compile",
      whole.replace("binding(2)", "binding(1000)"),
      /\.wgsl: y has binding 1000; the largest is 999$/,
    ],
    [
      "does not compile",
      biasKernel(`if (MANY > i) { ${RIGHT} }`, "override NONE = 0u; override MANY = 1u / NONE;"),
      /\.wgsl:8:\d+: '1 \/ 0' cannot be represented as 'u32' \| override NONE/,
    ],
    [
      "wrong interface",
      whole.replaceAll("array<f32>", "array<f32, 4096>"),
      /\.wgsl: binding \d is declared with a fixed size of 16384 bytes, this case has \d+; omit/,
    ],
    [
      "does not compile",
      `// @import ${fileURLToPath(import.meta.url)}\n${whole}`,
      /\.wgsl:1:1: @import: .*: no such shader in shaders\/$/,
    ],
  ])("%s", async (kind, code, message) => {
    const report = await small(code);
    expect(report.passed).toBe(false);
    expect(report.problems[0]!.kind).toBe(kind);
    expect(report.problems[0]!.message).toMatch(message);
    expect(report.problems[0]!.message).not.toMatch(/ - While |\[Invalid |\/dawn\//);
  });

  test("it writes nothing", async () => {
    const report = await small(biasKernel("if (i > 0x7fffffffu) { y[i] = x[i] + bias[0]; }"));
    expect(report.problems[0]).toMatchObject({ kind: "writes nothing" });
    expect(report.problems[0]!.message).toMatch(/no element of y was written/);
    expect(report.casesWrong).toBe(report.casesChecked);
  });

  test("it leaves elements unwritten", async () => {
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

  test("it reads beyond the end of an input, although the results are correct", async () => {
    const report = await small(biasKernel(RIGHT.replace("x[i]", "x[i] * (1.0 + 1e-36 * x[SIZE + i])")));
    expect(kinds(report)).toEqual(new Set(["reads out of bounds"]));
    expect(report.problems[0]!.message).toMatch(/reads beyond the end of x: \d+ elements of y change/);
    expect(report.casesWrong).toBe(0);
  });

  test.each(["max", "min"])(
    "it writes the %s of the correct value and the old contents of the output",
    async (choose) => {
      const report = await small(biasKernel(RIGHT.replace(/= (.*);/, `= ${choose}(y[i], $1);`)));
      expect(kinds(report)).toEqual(new Set(["reads before it writes"]));
      expect(report.problems[0]!.message).toMatch(
        /^315 of 315 elements of y change with what stood in the outputs/,
      );
      expect(report.casesWrong).toBe(0);
    },
  );

  test("it writes beyond the end of an output", async () => {
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

describe("a kernel that is correct on small shapes is checked on large ones too", () => {
  const timed = { n: 3, budgetMs: 5, paperCases: 1 };
  test("a grid over the adapter's limits", async () => {
    const report = await check(kernelFile(biasKernel(RIGHT)), "channel-bias/add", timed);
    expect(report).toMatchObject({ passed: false, rows: [], casesWrong: 0 });
    expect(report.problems[0]!.message).toMatch(
      /a grid of 131072 × 1 × 1 workgroups: each side must be from 1 to 65535$/,
    );
  });

  test("a grid that is cut off at the limit leaves elements unwritten", async () => {
    const code = biasKernel(RIGHT).replace("ceil(SIZE / 64)", "min(ceil(SIZE / 64), 65535)");
    const report = await check(kernelFile(code), "channel-bias/add", timed);
    expect(report).toMatchObject({ passed: false, rows: [], casesWrong: 0 });
    expect(report.problems[0]).toMatchObject({
      kind: "unwritten elements",
      message: expect.stringMatching(
        /^4194368 of 8388608 elements of y were never written: .*beside channel-bias/,
      ),
    });
  });

  test("an index that overflows", async () => {
    const body =
      "let i = group.y * 65535u * 64u + group.x * 64u + lane; if (i < SIZE) { y[i] = x[i & 0x3fffffu] + bias[i / HW % C]; }";
    const code = biasKernel(body)
      .replace("let i = group.x * 64u + lane;\n", "")
      .replace("(ceil(SIZE / 64), 1, 1)", "(min(ceil(SIZE / 64), 65535), ceil(SIZE / 64 / 65535))");
    const report = await check(kernelFile(code), "channel-bias/add", timed);
    expect(report).toMatchObject({ passed: false, rows: [], casesWrong: 0 });
    expect(report.problems[0]!.kind).toBe("wrong values");
  });

  test("values computed from the old contents of the output", async () => {
    const sum = "x[i] + bias[i / HW % C]";
    const body = `if (i < SIZE) { y[i] = select(${sum}, max(y[i], ${sum}), SIZE > 100000u); }`;
    const code = biasKernel(body)
      .replace("ceil(SIZE / 64), 1", "min(ceil(SIZE / 64), 65535), ceil(SIZE / 64 / 65535)")
      .replace("let i = ", "let i = group.y * 65535u * 64u + ");
    const report = await check(kernelFile(code), "channel-bias/add", timed);
    expect(report).toMatchObject({ passed: false, rows: [], casesWrong: 0 });
    expect(report.problems[0]).toMatchObject({
      kind: "differs from run to run",
      message: expect.stringMatching(/^8388608 of 8388608 elements of y changed in a second run/),
    });
  });
});
