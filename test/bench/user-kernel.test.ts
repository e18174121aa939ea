// Kernels of a user's own: a right one passes, and whatever is wrong with one is told by name.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { benchUserKernel, targetOf, type UserKernelReport } from "../../src/bench/user-kernel.ts";
import { readKernel } from "../../src/bench/user-kernel-file.ts";
import { UserKernelProcess } from "../../src/bench/user-kernel-process.ts";
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

function check(
  file: string,
  as: string,
  options: typeof quick & { entry?: string } = quick,
): Promise<UserKernelReport> {
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

const OTHER = "@compute @workgroup_size(1) fn other() { y[0] = 1.0; }";
const RIGHT = "if (i < SIZE) { y[i] = x[i] + bias[i / HW % C]; }";

let written = 0;
function kernelFile(code: string): string {
  const path = join(folder, `${written++}.wgsl`);
  writeFileSync(path, code);
  return path;
}

test.each([
  ["conv2d-direct.wgsl", "conv2d/forward"],
  ["matmul-direct.wgsl", "matmul/tiled"],
])("the example %s is right", async (name, as) => {
  const example = fileURLToPath(new URL(`../../examples/${name}`, import.meta.url));
  const report = await check(example, as);
  expect(report.problems).toEqual([]);
  expect(report.passed).toBe(true);
  expect(report.casesChecked).toBeGreaterThan(30);
  expect(report.casesWrong).toBe(0);
});

test("a product that ignores its slices is told what they are", async () => {
  const example = readFileSync(new URL("../../examples/matmul-direct.wgsl", import.meta.url), "utf8");
  const whole = example.replace(/, ceil\(depth.*$/m, ")").replace("(at.z + 1u) * terms", "depth");
  const { problems } = await check(kernelFile(whole), "matmul/tiled");
  expect(new Set(problems.map(({ kind }) => kind))).toEqual(new Set(["unwritten elements"]));
  expect(problems[0]!.message).toMatch(
    /elements of c were never written: c\[1, 0, 0\].*; here c is \[2, 1, 64\], partial results that reduce\/sum-rows adds up: every slice/,
  );
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
    ["wrong interface", biasKernel(RIGHT, params), /\.wgsl:8:17: params has count; there are only none/],
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
      /\.wgsl:1:1: @dispatch: makes a grid of .* \(use ceil\)/,
    ],
    [
      "wrong interface",
      whole.replace("@group(0) @binding(1)", "@group(1) @binding(0)"),
      /\.wgsl:6:42: bias is in group 1: ghostbatch binds group 0 alone/,
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

describe("any valid spelling is the same kernel", () => {
  const plain = biasKernel(RIGHT);
  test.each<[string, string]>([
    ["ids on the same line", plain.replace(/override/g, (word, at) => `@id(${at}) ${word}`)],
    ["ids on lines of their own", plain.replace(/override/g, (word, at) => `@id(${at}u)\n${word}`)],
    ["types that follow from defaults", plain.replaceAll(": u32;", " = 1u;")],
    ["indents", plain.replace(/^(override|@group)/gm, "  $1")],
    [
      "blanks and a comma in brackets",
      plain.replaceAll("(0)", "( 0, )").replace("read_write>", "read_write , >"),
    ],
    ["bindings in any order", plain.replace(/(@group.*\n)(@group.*\n)(@group.*\n)/, "$3$1$2")],
    ["bindings with gaps", plain.replace("binding(2)", "binding(5)").replace("binding(1)", "binding(0x3)")],
    ["words of old comments", `/* enable no_such_thing; override X: u32; */\n${plain}`],
    ["a grid in a block comment", `/*\n// @dispatch (1)\n*/\n${plain}`],
    ["a comment behind the grid", plain.replace("1, 1)", "1, 1)   // flat")],
    [
      "a grid by an override of its own",
      plain.replace("/ 64)", "/ WG)").replace("(64)", "(WG)").concat("override WG = 64u;"),
    ],
    ["line endings of other systems", plain.replaceAll("\n", "\r\n")],
    ["an entry point of another name", plain.replace("fn main", "fn größe")],
  ])("%s", async (_, code) => {
    const report = await check(kernelFile(code), "channel-bias/add");
    expect(report).toMatchObject({ problems: [], passed: true, casesChecked: 2, notes: [] });
  });

  test("--entry names one of several", async () => {
    const file = kernelFile(biasKernel(RIGHT, `// @dispatch (1)\n${OTHER}`));
    const options = { ...quick, entry: "main" };
    expect((await check(file, "channel-bias/add", options)).problems).toEqual([]);
    const none = check(file, "channel-bias/add", { ...quick, entry: "mine" });
    await expect(none).rejects.toThrow(/^--entry mine: .*\.wgsl has other, main$/);
  });

  test("a file with the name of a built-in one is the user's", async () => {
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

describe("a kernel that is right on small shapes is not vouched for on large ones", () => {
  const timed = { n: 3, budgetMs: 5, paperCases: 1 };
  test("a grid over the adapter's limits", async () => {
    const report = await check(kernelFile(biasKernel(RIGHT)), "channel-bias/add", timed);
    expect(report).toMatchObject({ passed: false, rows: [], casesWrong: 0 });
    expect(report.problems[0]!.message).toMatch(
      /a grid of 131072 × 1 × 1 workgroups, each side must be 1 to 65535$/,
    );
  });

  test("a grid that is cut off there: what is never written", async () => {
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

  test("an index that overflows there", async () => {
    const body =
      "let i = group.y * 65535u * 64u + group.x * 64u + lane; if (i < SIZE) { y[i] = x[i & 0x3fffffu] + bias[i / HW % C]; }";
    const code = biasKernel(body)
      .replace("let i = group.x * 64u + lane;\n", "")
      .replace("(ceil(SIZE / 64), 1, 1)", "(min(ceil(SIZE / 64), 65535), ceil(SIZE / 64 / 65535))");
    const report = await check(kernelFile(code), "channel-bias/add", timed);
    expect(report).toMatchObject({ passed: false, rows: [], casesWrong: 0 });
    expect(report.problems[0]!.kind).toBe("wrong values");
  });
});

describe("races", () => {
  const SHARED = "var <workgroup> parts: array<f32, 64>;";
  const sum = (barrier: string) => `parts[lane] = 1.0;
  ${barrier}
  for (var h = 32u; h > 0u; h >>= 1u) {
    if (lane < h) { parts[lane] += parts[lane + h]; }
    ${barrier}
  }
  if (i < SIZE) { y[i] = x[i] * (parts[0] / 64.0) + bias[i / HW % C]; }`;
  const look = (body: string, head = SHARED) => check(kernelFile(biasKernel(body, head)), "channel-bias/add");

  test("storageBarrier does not order workgroup memory, workgroupBarrier does", async () => {
    const [race] = (await look(sum("storageBarrier();"))).problems.filter(({ kind }) => kind === "race");
    expect(race!.message).toMatch(
      /^parts: lane \d+ \w+ it at .*\.wgsl:\d+, lane .* with no workgroupBarrier between$/,
    );
    expect(await look(sum("workgroupBarrier();"))).toMatchObject({ problems: [], notes: [] });
  });

  test("lanes that write one place of an output", async () => {
    const report = await look(
      "if (i < SIZE) { y[i] = x[i] + bias[i / HW % C];\n y[i / 64u * 64u] = x[i / 64u * 64u] + bias[i / 64u * 64u / HW % C]; }",
      "",
    );
    expect(report.problems.map(({ kind }) => kind)).toContain("race");
  });

  test("what the emulator does not follow is said", async () => {
    const body = `one = 1.0;\n ${RIGHT.replace("x[i]", "one * x[i]")}`;
    const { notes } = await look(body, "var<workgroup> one: f32;");
    expect(notes).toEqual([expect.stringMatching(/^races: not looked for in one, because the emulator/)]);
  });

  test("what the emulator does not run is said", async () => {
    const body =
      "let n = workgroupUniformLoad(&parts[0]); if (i < SIZE) { y[i] = x[i] + n + bias[i / HW % C]; }";
    const report = await look(body);
    expect(report.problems).toEqual([]);
    expect(report.notes).toEqual([
      "races: not looked for, because the emulator does not know workgroupUniformLoad",
    ]);
  });
});

test("a kernel that never ends takes down a process of its own, and is told; the file is checked again as it is then", async () => {
  const forever = `var n = 1u;
  loop { n = n * 3u + SIZE; if (n == 0u) { break; } }
  ${RIGHT.replace("x[i]", "f32(n) + x[i]")}`;
  const phases: string[] = [];
  const file = kernelFile(biasKernel(forever));
  const bench = new UserKernelProcess(
    { file, as: "channel-bias/add", ...quick },
    { limitSeconds: 4, onPhase: (phase) => phases.push(phase) },
  );
  const report = await bench.check();
  expect(report.passed).toBe(false);
  const message = expect.stringMatching(/^no end after 4 s while checking channel-bias\/add/);
  expect(report.problems).toEqual([{ kind: "never ends", message }]);
  expect(phases).toContain("reading");
  try {
    writeFileSync(file, biasKernel(RIGHT));
    expect(await bench.check()).toMatchObject({ passed: true, casesChecked: 2 });
    writeFileSync(file, biasKernel(RIGHT.replace("x[i]", "2.0 * x[i]")));
    expect(await bench.check()).toMatchObject({ passed: false, casesWrong: 2 });
    rmSync(file);
    await expect(bench.check()).rejects.toThrow(/no such file$/);
  } finally {
    bench.close();
  }
});

test("names and files that are not there", async () => {
  expect(() => targetOf("conv3d/forward")).toThrow(UsageError);
  expect(() => targetOf("conv3d/forward")).toThrow(/there are .*conv2d\/forward, conv2d\/forward-narrow/);
  const narrow = { kernel: "conv2d/forward-narrow.wgsl", variant: "narrow" };
  expect(targetOf("conv2d/forward-narrow")).toMatchObject(narrow);
  expect(targetOf("conv2d/grad-input").passes.map(({ name }) => name)).toEqual(["conv2d/grad-input"]);
  const read = (name: string, bytes: string | Uint8Array) => {
    writeFileSync(join(folder, name), bytes);
    return expect(() => readKernel(join(folder, name)));
  };
  await expect(check(join(folder, "none.wgsl"), "elementwise/relu")).rejects.toThrow(DataError);
  read("empty.wgsl", "").toThrow(/empty\.wgsl: empty; expected a kernel in WGSL$/);
  read("blank.wgsl", " \n").toThrow(/empty but for blanks/);
  read("latin.wgsl", Uint8Array.of(0x2f, 0x2f, 0xe9)).toThrow(
    /latin\.wgsl: not UTF-8; WGSL is text in UTF-8$/,
  );
  expect(() => readKernel(folder)).toThrow(/a folder; expected a \.wgsl file/);
  expect(() => readKernel(join(folder, "none.wgsl"))).toThrow(/none\.wgsl: no such file$/);
});
